"""Connections between the two rfs of a module: dialling, mutual authentication, framed messages.

The secondary dials, the primary listens. Both prove that they hold the module's key (HMAC-SHA-256 over both nonces and
what is said) before anything else is read, so rubbish on the port is refused without effect. `Security` is where TLS
goes around the socket when a module has certificates.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Protocol, TypeVar

from holdfast.errors import PeerError, UnavailableError

from services.rfs.core.checksum import NAME as CHECKSUM

PROTOCOL = 2
"""Grows when a node that knows only the number before would misunderstand something. What it may ignore, as one more
field of a greeting, leaves the number as it is."""
_MAGIC = b"HOLDFAST-RFS\x00"
_NONCE_BYTES = 16
_PROOF_BYTES = 32
_FRAME = struct.Struct("<II")
HANDSHAKE_BYTES_MAX = 16_384
MESSAGE_BYTES_MAX = 16 << 20
"""A message: room for the rows of a directory with 100,000 names."""
HANDSHAKE_TIMEOUT_S = 5.0
DIAL_TIMEOUT_S = 2.0
SOCKET_BUFFER_BYTES = 4 << 20
"""Several of the largest writes under way."""
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
"""asm-generic/socket.h: as SO_SNDBUF and SO_RCVBUF, beyond net.core.wmem_max and rmem_max; need CAP_NET_ADMIN."""
KEEPALIVE_S = 1
KEEPALIVE_PROBES = 5
"""A silent peer is noticed after about KEEPALIVE_S * KEEPALIVE_PROBES; heartbeats notice it sooner."""


class Security(Protocol):
    """Wraps a connected socket; raises OSError when the other side cannot prove who it is."""

    def client(self, connection: socket.socket) -> socket.socket: ...
    def server(self, connection: socket.socket) -> socket.socket: ...


class Plain:
    """No encryption: the key proves who speaks, frames are checksummed."""

    def client(self, connection: socket.socket) -> socket.socket:
        return connection

    def server(self, connection: socket.socket) -> socket.socket:
        return connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Hello:
    """What a secondary says of itself. purpose: `stream`, `serve` for requests of session `session`, or `verify` to
    have the copies compared in it.

    fence_epoch: streams of primaries with a lower epoch are refused. session, position: the stream it can resume.
    last_session: where its change journal begins. rebooted: its journal spans a restart of the machine.
    full: its operator wants all contents compared, whatever the journals say. checksum: how it computes checksums,
    fast_checksum: how it can as well. census: it answers `Ask.CENSUS`.
    """

    module: str
    node: str
    purpose: str
    fence_epoch: int
    session: str = ""
    position: int = 0
    last_session: str = ""
    rebooted: bool = False
    full: bool = False
    protocol: int = PROTOCOL
    checksum: str = CHECKSUM
    fast_checksum: str = ""
    census: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Welcome:
    """The primary's answer. reason: why not, in words, when not accepted. resumed: the stream goes on at `position`.

    fast_checksum: how the checksums of large records are computed in this session, when not by `Hello.checksum`.
    """

    accepted: bool
    reason: str = ""
    session: str = ""
    position: int = 0
    epoch: int = 0
    resumed: bool = False
    on_disk: bool = True
    readers: int = 1
    fast_checksum: str = ""
    protocol: int = PROTOCOL


_Said = TypeVar("_Said", Hello, Welcome)


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Return `size` bytes; raise ConnectionError when the peer closes before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise ConnectionResetError("the peer closed the connection")
        view = view[count:]
    return bytes(data)


def send_message(connection: socket.socket, body: bytes) -> None:
    """Send one framed message."""
    connection.sendall(_FRAME.pack(len(body), zlib.crc32(body)) + body)


def receive_message(connection: socket.socket, limit: int = MESSAGE_BYTES_MAX) -> bytes:
    """Return one framed message; raise PeerError when it is too long or damaged."""
    length, crc = _FRAME.unpack(receive_exactly(connection, _FRAME.size))
    if length > limit:
        raise PeerError(f"a message of {length} bytes", hint=f"at most {limit}")
    body = receive_exactly(connection, length)
    if zlib.crc32(body) != crc:
        raise PeerError("a message's checksum is wrong")
    return body


def tune(connection: socket.socket, send_timeout_ms: int) -> None:
    """No delay for small messages, big buffers, and an end for connections whose other side is gone."""
    options = (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, send_timeout_ms),
    )
    for level, option, value in options:
        connection.setsockopt(level, option, value)
    for option in (SO_SNDBUFFORCE, SO_RCVBUFFORCE):
        try:
            connection.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
        except PermissionError:
            return  # A size that is capped low would be worse than the kernel's own choice, which grows with the need.


def greet(connection: socket.socket, key: bytes, decide: Callable[[Hello], Welcome]) -> tuple[Hello, Welcome]:
    """The primary's side of the handshake; raise PeerError when the other side is not one of ours."""
    connection.settimeout(HANDSHAKE_TIMEOUT_S)
    nonce = os.urandom(_NONCE_BYTES)
    connection.sendall(_MAGIC + nonce)
    message = receive_message(connection, HANDSHAKE_BYTES_MAX)
    said, proof = message[:-_PROOF_BYTES], message[-_PROOF_BYTES:]
    if not hmac.compare_digest(proof, _proof(key, b"secondary", nonce, said)):
        raise PeerError("a connection to the replication port does not hold the module's key")
    its_nonce, values = said[:_NONCE_BYTES], _object(said[_NONCE_BYTES:])
    hello = None
    if values.get("protocol") == PROTOCOL:
        hello = _parsed(values, Hello)
        welcome = decide(hello)
    else:
        welcome = Welcome(accepted=False, reason=_other_protocol(PROTOCOL, values.get("protocol")))
    answer = json.dumps(asdict(welcome)).encode()
    send_message(connection, answer + _proof(key, b"primary", its_nonce + nonce, answer))
    connection.settimeout(None)
    if hello is None:
        raise PeerError(welcome.reason)
    return hello, welcome


def dial(
    local: str,
    address: str,
    port: int,
    *,
    key: bytes,
    hello: Hello,
    send_timeout_ms: int,
    security: Security | None = None,
) -> tuple[socket.socket, Welcome]:
    """Connect and introduce ourselves; raise UnavailableError without an answer, PeerError when it is none of ours."""
    try:
        connection = socket.create_connection(
            (address, port), timeout=DIAL_TIMEOUT_S, source_address=(local, 0) if local else None
        )
    except OSError as error:
        raise UnavailableError(f"the primary's rfs at {address} port {port} does not answer: {error}") from error
    try:
        tune(connection, send_timeout_ms)
        connection = (security or Plain()).client(connection)
        connection.settimeout(HANDSHAKE_TIMEOUT_S)
        welcome = _introduce(connection, key, hello)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise UnavailableError(f"the primary's rfs at {address} port {port} broke off: {error}") from error
    except PeerError:
        connection.close()
        raise
    return connection, welcome


def _introduce(connection: socket.socket, key: bytes, hello: Hello) -> Welcome:
    start = receive_exactly(connection, len(_MAGIC) + _NONCE_BYTES)
    if not start.startswith(_MAGIC):
        raise PeerError("what listens on the replication port is not Holdfast")
    nonce = start[len(_MAGIC) :]
    own_nonce = os.urandom(_NONCE_BYTES)
    said = own_nonce + json.dumps(asdict(hello)).encode()
    send_message(connection, said + _proof(key, b"secondary", nonce, said))
    message = receive_message(connection, HANDSHAKE_BYTES_MAX)
    answer, proof = message[:-_PROOF_BYTES], message[-_PROOF_BYTES:]
    if not hmac.compare_digest(proof, _proof(key, b"primary", own_nonce + nonce, answer)):
        raise PeerError("the primary's rfs does not hold the module's key")
    values = _object(answer)
    if values.get("accepted") is True and values.get("protocol") != PROTOCOL:
        raise PeerError(_other_protocol(values.get("protocol"), PROTOCOL))
    return _parsed(values, Welcome)


def _other_protocol(primary: object, secondary: object) -> str:
    return (
        f"the primary speaks version {primary} of the replication protocol and the secondary version {secondary}:"
        " install the same version on both nodes"
    )


def _proof(key: bytes, speaker: bytes, nonce: bytes, said: bytes) -> bytes:
    return hmac.digest(key, b"|".join((speaker, nonce, said)), hashlib.sha256)


def _object(data: bytes) -> dict[str, object]:
    """An authenticated peer's JSON object."""
    try:
        values = json.loads(data)
    except ValueError as error:
        raise PeerError("a handshake that is not JSON") from error
    if not isinstance(values, dict):
        raise PeerError("a handshake that is no JSON object")
    return values


def _parsed(values: dict[str, object], kind: type[_Said]) -> _Said:
    """The object as a dataclass; field by field, so that a wrong type is the peer's error and not ours.

    What a later version says beyond the known fields is ignored.
    """
    known = {field.name: field.type for field in fields(kind)}
    for name, value in values.items():
        if name in known and type(value).__name__ != known[name]:
            raise PeerError(f"a handshake with {name}={value!r}")
    try:
        return kind(**{name: value for name, value in values.items() if name in known})  # type: ignore[arg-type]
    except TypeError as error:
        raise PeerError(f"an incomplete handshake: {error}") from error
