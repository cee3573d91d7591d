"""Namespaces: made by a process that holds them, entered with nsenter(1)."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.lab.errors import LabError
from holdfast.lab.process import LAB_VARIABLE, ProcessMark, mark

READY_FD: Final = 9
"""Descriptor on which a started process says that it is ready; above the shell's own."""
READY_TIMEOUT_S: Final = 30.0
"""A first process is ready in about 0.1 s; a machine that pages or is very busy gets time."""
COMMAND_TIMEOUT_S: Final = 30.0
"""For the short commands of iproute2 and nftables."""
_READY_BYTES_MAX: Final = 65536

# Without duplicate address detection every IPv6 address can be used at once, also those that services add.
# The settings must stand before the interfaces are made. `exec -a` names the sleeping process after what it
# holds.
_QUICK: Final = "for which in all default; do echo 0 > /proc/sys/net/ipv6/conf/$which/accept_dad; done"
_READY: Final = f"echo ready >&{READY_FD}; exec {READY_FD}>&-"
_HOLD: Final = f'[ ! -d /proc/sys/net/ipv6 ] || {{ {_QUICK}; }}; {_READY}; exec -a "$0" sleep infinity'


def hold(label: str, kinds: Sequence[str], directory: Path) -> ProcessMark:
    """Make new namespaces (unshare(1) option names) held by a sleeping process, and return it."""
    command = ["unshare", *(f"--{kind}" for kind in kinds), "--", "bash", "-c", _HOLD, label]
    holder, _ = launch(command, directory)
    return holder


def launch(command: Sequence[str], directory: Path) -> tuple[ProcessMark, str]:
    """Start a process that outlives this one, in a session of its own, and wait for its word on READY_FD.

    Returns the process and what it said. Raises LabError with what it said instead, when it ended before.
    """
    reader, writer = os.pipe()
    log = directory / "launch.log"
    log.unlink(missing_ok=True)
    try:
        pid = os.posix_spawnp(
            command[0],
            list(command),
            {**os.environ, LAB_VARIABLE: str(directory)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, writer, READY_FD),
            ],
            setsid=True,
        )
        os.close(writer)
        writer = -1
        said = _read_line(reader)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if not said:
        os.waitpid(pid, 0)
        raise LabError(f"{command[0]} did not start: {log.read_text(errors='replace').strip() or 'no message'}")
    return mark(pid), said


def network_of(process: ProcessMark) -> list[str]:
    """The words that run a command in the network of a process."""
    return ["nsenter", f"--net=/proc/{process.pid}/ns/net", "--"]


def client_of(process: ProcessMark) -> list[str]:
    """The words that run a command in the network and under the host name of the client."""
    return ["nsenter", f"--net=/proc/{process.pid}/ns/net", f"--uts=/proc/{process.pid}/ns/uts", "--"]


def inside_of(init: ProcessMark) -> list[str]:
    """The words that run a command in everything that a node has of its own."""
    own = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
    return ["nsenter", "--target", str(init.pid), *own, "--"]


def run_in_network(process: ProcessMark, command: Sequence[str], text: str, *, may_fail: bool = False) -> None:
    """Give `text` to a command in the network of a process; raises LabError unless it may fail."""
    _run([*network_of(process), *command], text, may_fail=may_fail)


def run_in_uts(process: ProcessMark, command: Sequence[str]) -> None:
    """Run a command under the host name of a process; raises LabError."""
    _run(["nsenter", f"--uts=/proc/{process.pid}/ns/uts", "--", *command], "", may_fail=False)


def _run(command: Sequence[str], text: str, *, may_fail: bool) -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0 and not may_fail:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def _read_line(reader: int) -> str:
    """Everything up to the end of the first line or of the stream; raises LabError after READY_TIMEOUT_S."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    said = b""
    while b"\n" not in said and len(said) < _READY_BYTES_MAX:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise LabError(f"a process of the lab was not ready after {READY_TIMEOUT_S:.0f} s")
        chunk = os.read(reader, 4096)
        if not chunk:
            break
        said += chunk
    return said.decode(errors="replace").strip()
