"""HTTP under uvicorn on two sockets: a Unix socket for root and the loopback port for reading."""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from services.gateway.caller import CallerProtocol

LOOPBACK = "127.0.0.1"
SOCKET_NAME = "gateway.sock"
SOCKET_MODE = 0o660
GROUP = "holdfast"
BACKLOG = 128
CONNECTIONS_MAX = 256
KEEP_ALIVE_S = 30
GRACE_S = 1
"""For requests under way when the service is stopped."""

log = logging.getLogger("holdfast.gateway")


class Server(uvicorn.Server):
    """A server that leaves signals to `holdfast.service.run`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def open_sockets(run_dir: Path, port: int) -> list[socket.socket]:
    """Open the sockets; without the loopback port (somebody else has it) the Unix socket still serves."""
    sockets = [_unix_socket(run_dir / SOCKET_NAME)]
    loopback = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    loopback.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        loopback.bind((LOOPBACK, port))
    except OSError as error:
        log.warning("%s:%d cannot be used, only the Unix socket answers: %s", LOOPBACK, port, error.strerror)
        loopback.close()
        return sockets
    loopback.listen(BACKLOG)
    return [*sockets, loopback]


def make_server(app: ASGIApp) -> Server:
    return Server(
        uvicorn.Config(
            app,
            http=CallerProtocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
        )
    )


def _unix_socket(path: Path) -> socket.socket:
    """Bind beside and rename over, so that there is always a socket to connect to; listening comes first."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        unix.bind(str(beside))
    finally:
        os.umask(before)
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(beside, 0, grp.getgrnam(GROUP).gr_gid)
    beside.chmod(SOCKET_MODE)
    unix.listen(BACKLOG)
    beside.replace(path)
    return unix
