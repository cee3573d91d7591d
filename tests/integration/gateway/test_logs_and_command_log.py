"""The log family, the system log, and the command log, over a real gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from holdfast.events.membership import PeerFound, PeerSuspected
from holdfast.events.module import AddressesReported, ResourceReported
from holdfast.ids import ModuleId
from holdfast.journal.sql import SqlJournal
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import NodePlace

if TYPE_CHECKING:
    from conftest import RunningGateway

SHOP = ModuleId("shop")


def publish(gateway: RunningGateway, fact: object) -> None:
    gateway.wait(gateway.listener.context.publish(SHOP, fact))


def test_each_option_of_log_shows_more(gateway: RunningGateway) -> None:
    gateway.shell.run("printe", "-m", "shop", "an event")
    gateway.shell.run("printi", "-m", "shop", "information")
    assert "information" not in gateway.shell.run("log", "-m", "shop")
    assert "information" in gateway.shell.run("log", "-m", "shop", "-I")
    last = gateway.shell.run("log", "-m", "shop", "-A", "-s", "1").splitlines()
    assert len(last) == 1
    assert last[0].endswith("| userplug | I | information")


def test_saved_log_holds_what_is_printed(gateway: RunningGateway, tmp_path: Path) -> None:
    gateway.shell.run("printe", "-m", "shop", "an event")
    file = tmp_path / "shop.log"
    assert gateway.shell.run("logsave", "-m", "shop", "-A", str(file)) == f"{file}: 1 lines\n"
    assert file.read_text() == gateway.shell.run("log", "-m", "shop", "-A")
    assert "cannot be" not in gateway.shell.run("logsave", "-m", "shop", str(tmp_path / "no" / "such"), code=8)


def test_followed_log_tells_the_past_and_goes_on(gateway: RunningGateway) -> None:
    gateway.shell.run("printe", "-m", "shop", "before")
    environment = {**os.environ, **gateway.shell.place.environment, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "services.gateway.cli", "logview", "-m", "shop", "-A", "-l", "fr"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as viewer:
        assert viewer.stdout is not None
        try:
            assert viewer.stdout.readline().endswith("before\n")
            publish(gateway, PeerSuspected(silent_ms=300.0))
            line = viewer.stdout.readline()
            assert line.endswith("| statemachine | D | Le nœud distant est silencieux depuis 300 ms\n")
        finally:
            viewer.terminate()


def test_log_is_told_in_the_language_that_is_asked_for(gateway: RunningGateway, tmp_path: Path) -> None:
    gateway.shell.run("printe", "-m", "shop", "said by a script")
    path = gateway.shell.place.settings.module_dir(SHOP) / "journal.db"
    journal = SqlJournal(path)
    journal.append(gateway.listener.context.envelope(SHOP, PeerFound(incarnation=1)), decision="", durable=True)
    journal.close()
    for language, sentence in (
        ("en", "Remote node is heard"),
        ("fr", "Le nœud distant est entendu"),
    ):
        told = gateway.shell.run("log", "-m", "shop", "-l", language)
        assert f"| E | {sentence}\n" in told
        assert "said by a script" in told
    file = tmp_path / "shop.log"
    gateway.shell.run("logsave", "-m", "shop", "-l", "ja", str(file))
    assert "リモートノード" in file.read_text(encoding="utf-8")
    gateway.shell.run("log", "-m", "shop", "-l", "de", code=2)


def test_what_changes_something_is_in_the_command_log(gateway: RunningGateway) -> None:
    gateway.shell.run("start", "-m", "shop", SUDO_USER="ann")
    gateway.machine.refuse("command", "the peer is primary already")
    gateway.shell.run("prim", "-m", "shop", code=4)
    gateway.shell.run("log", "-m", "shop")
    gateway.shell.run("set", "-m", "shop", "-r", "custom.web", "-v", "up")
    found = json.loads(gateway.shell.run("cmdlog", "--json"))
    assert [(each["command"], each["exit_code"], each["result"]) for each in found] == [
        ("holdfast prim -m shop", 4, "the peer is primary already"),
        ("holdfast start -m shop", 0, ""),
    ]
    assert found[1]["who"] == "ann"
    assert found[1]["uid"] == os.getuid()
    assert found[1]["request"] == "POST /api/v1/modules/shop/commands"
    assert json.loads(found[1]["arguments"])["action"] == "start"
    assert 0 < found[1]["began_wall_ns"] <= found[1]["ended_wall_ns"]
    lines = gateway.shell.run("cmdlog", "-m", "shop").splitlines()
    assert [line.rpartition(" | ")[2] for line in lines] == [
        "START holdfast start -m shop",
        "END 0",
        "START holdfast prim -m shop",
        "END 4 (the peer is primary already)",
    ]
    assert gateway.shell.run("cmdlog", "-m", "other") == ""


def test_secrets_are_not_in_the_command_log(gateway: RunningGateway) -> None:
    key = gateway.shell.place.root / "key"
    key.write_text("ab" * 32)
    gateway.shell.run("cluster", "config", str(gateway.shell.place.root / "cluster.xml"), "--key", str(key))
    text = gateway.shell.run("cmdlog", "--json")
    assert "abab" not in text
    assert "…" in json.loads(text)[0]["arguments"]


def test_killed_gateway_leaves_its_command_unfinished_and_readable(gateway: RunningGateway) -> None:
    gateway.shell.run("start", "-m", "shop")
    gateway.process.kill()
    gateway.start()
    gateway.shell.run("stop", "-m", "shop")
    found = json.loads(gateway.shell.run("cmdlog", "--json"))
    assert [each["command"] for each in found] == ["holdfast stop -m shop", "holdfast start -m shop"]


@pytest.fixture
def daemon(place: NodePlace, nats_server: NatsServer) -> socket.socket:
    """Stands where the syslog daemon would; the gateway that is started after it is told of it."""
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.bind(str(place.root / "log"))
    daemon.settimeout(10)
    return daemon


def test_lines_are_sent_to_the_system_log(daemon: socket.socket, gateway: RunningGateway) -> None:
    node = gateway.shell.place.config_dir / "node.toml"
    with daemon:
        gateway.process.stop()
        node.write_text(f'{node.read_text()}syslog = "{gateway.shell.place.root / "log"}"\n')
        gateway.start()
        publish(gateway, PeerSuspected(silent_ms=300.0))
        publish(gateway, ResourceReported(resource="tcp.web", value="down", by="checker-tcp"))
        publish(gateway, AddressesReported(held=True, present=("10.0.0.9",)))
        pid = gateway.process.pid
        assert daemon.recv(4096).decode() == (
            f"<29>holdfast[{pid}]: shop | statemachine | E | Resource tcp.web set to down by checker-tcp"
        )
        assert daemon.recv(4096).startswith(b"<30>holdfast[")
        gateway.shell.run("printw", "-m", "shop", "careful")
        assert daemon.recv(4096).decode() == f"<28>holdfast[{pid}]: shop | userplug | W | careful"
