"""What a dump tells of the machine: network, mounts, memory, the system's own log. Bounded in time and size."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

COMMAND_S_MAX = 5.0
OUTPUT_BYTES_MAX = 1 << 20
FILES = {
    "system/os-release": Path("/etc/os-release"),
    "system/loadavg": Path("/proc/loadavg"),
    "system/uptime": Path("/proc/uptime"),
    "system/meminfo": Path("/proc/meminfo"),
    "system/mountinfo": Path("/proc/self/mountinfo"),
    "system/netdev": Path("/proc/net/dev"),
}
COMMANDS = {
    "system/uname": ("uname", "-a"),
    "system/addresses": ("ip", "address", "show"),
    "system/routes": ("ip", "route", "show", "table", "all"),
    "system/neighbours": ("ip", "neighbour", "show"),
    "system/sockets": ("ss", "-ntua"),
    "system/nftables": ("nft", "list", "ruleset"),
    "system/journal": ("journalctl", "--no-pager", "-n", "1000", "-u", "holdfast"),
    "system/kernel": ("dmesg", "--ctime", "--level=emerg,alert,crit,err,warn"),
}


def machine_parts() -> dict[str, Callable[[], bytes]]:
    """Name of each file to how it is made; one that cannot be made raises OSError."""
    files = {name: partial(_read, path) for name, path in FILES.items()}
    return {**files, **{name: partial(_output, command) for name, command in COMMANDS.items()}}


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(OUTPUT_BYTES_MAX)


def _output(command: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{command[0]} took longer than {COMMAND_S_MAX:.0f} s") from error
    return (done.stdout + done.stderr)[-OUTPUT_BYTES_MAX:]
