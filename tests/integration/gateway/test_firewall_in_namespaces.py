"""The firewall table in the kernel: a node's lifeline port, and who reaches it, in network namespaces of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shell

pytestmark = pytest.mark.root
NODE, OTHER = f"hf-fw-node-{os.getpid()}", f"hf-fw-other-{os.getpid()}"
PEER, STRANGER = "10.0.0.2", "10.0.0.77"
LISTEN = (
    "import socket\n"
    "with socket.create_server(('10.0.0.1', 4800)) as server:\n"
    "    print('listening', flush=True)\n"
    "    server.settimeout(60)\n"
    "    server.accept()\n"
)
DIAL = "import socket, sys; socket.create_connection(('10.0.0.1', 4800), 1, (sys.argv[1], 0)).close()"


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, timeout=20, capture_output=True)


@pytest.fixture
def namespaces() -> Iterator[None]:
    try:
        for name in (NODE, OTHER):
            ip("netns", "add", name)
        ip("-n", NODE, "link", "add", "one", "type", "veth", "peer", "two", "netns", OTHER)
        for name, link, addresses in ((NODE, "one", ("10.0.0.1",)), (OTHER, "two", (PEER, STRANGER))):
            for address in addresses:
                ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
        yield
    finally:
        for name in (NODE, OTHER):
            ip("netns", "del", name, check=False)


def within(name: str, *command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ip", "netns", "exec", name, *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
    )


def reaches(address: str) -> bool:
    """Is the node's port reached from this address."""
    command = ["ip", "netns", "exec", NODE, sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == "listening\n"
            return within(OTHER, sys.executable, "-c", DIAL, address).returncode == 0
        finally:
            server.kill()


@pytest.mark.usefixtures("namespaces")
def test_table_keeps_strangers_out_until_it_is_removed(shell: Shell) -> None:
    shell.configured()

    def firewallcfg(*words: str) -> str:
        command = (sys.executable, "-m", "services.gateway.cli", "firewallcfg", *words)
        done = within(NODE, *command, environment=dict(shell.place.environment))
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    within(NODE, "nft", "add table inet mine; add chain inet mine in { type filter hook input priority 5; }")
    assert "in force" in firewallcfg("--apply")
    within(NODE, "nft", "add chain inet mine in { policy drop; }")
    assert "warning: chain inet mine in drops by default" in firewallcfg("add")
    within(NODE, "nft", "delete table inet mine")
    listed = within(NODE, "nft", "list", "tables").stdout
    assert listed == "table inet holdfast\n"
    assert (reaches(PEER), reaches(STRANGER)) == (True, False)
    firewallcfg("--remove")
    assert within(NODE, "nft", "list", "tables").stdout == ""
    assert reaches(STRANGER)
