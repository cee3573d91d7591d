"""One question to a gateway: over its Unix socket on this node, over HTTP or HTTPS elsewhere. Small and bounded."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import PeerError

ANSWER_BYTES_MAX = 1 << 20
"""The state of a module with a thousand resources is a quarter of this."""
HEAD_END = b"\r\n\r\n"


class AnswerError(PeerError):
    """What came is no answer of a gateway; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a gateway answers. socket: its Unix socket, else host and port. secure: HTTPS."""

    socket: Path | None = None
    host: str = ""
    port: int = 0
    secure: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """status: of HTTP."""

    status: int
    body: bytes


async def get(place: Place, path: str) -> Answer:
    """Ask and read everything, as long as the caller waits; raises OSError (also of TLS) and AnswerError."""
    reader, writer = await _connected(place)
    try:
        host = f"[{place.host}]" if ":" in place.host else place.host or "localhost"
        named = host if place.socket is not None else f"{host}:{place.port}"
        head = f"GET {path} HTTP/1.1\r\nHost: {named}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        return _parsed(await _whole(reader))
    finally:
        # Nothing more is said on this connection, so nobody has to wait until it is closed in order.
        writer.transport.abort()


async def _connected(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if place.socket is not None:
        return await asyncio.open_unix_connection(str(place.socket))
    context = ssl.create_default_context() if place.secure else None
    return await asyncio.open_connection(place.host, place.port, ssl=context)


async def _whole(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while chunk := await reader.read(1 << 16):
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise AnswerError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(data)


def _parsed(data: bytes) -> Answer:
    """The status line is `HTTP/1.1 200 OK` (RFC 9112 section 4); a gateway sends its answers in one piece."""
    head, separator, body = data.partition(HEAD_END)
    words = head.split(b"\r\n", 1)[0].split()
    if not separator or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise AnswerError("an answer that is not HTTP")
    return Answer(status=int(words[1]), body=body)
