"""Who is at the other end of the Unix socket, as the kernel says it."""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

_UCRED = struct.Struct("3i")
"""struct ucred: pid, uid, gid (linux/socket.h, SO_PEERCRED of unix(7))."""


class CallerProtocol(H11Protocol):
    """HTTP/1.1 whose `client` (ASGI connection scope: host, port) is uid and pid on a Unix socket, where a client has
    neither host nor port."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own way
        super().connection_made(transport)
        self.client = credentials(transport) or self.client


def credentials(transport: asyncio.Transport) -> tuple[str, int] | None:
    """uid as text and pid of the process that opened this connection; None when it is not a Unix socket."""
    end = transport.get_extra_info("socket")
    if end is None or end.family != socket.AF_UNIX:
        return None
    pid, uid, _gid = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return str(uid), pid
