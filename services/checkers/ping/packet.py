"""Pure: echo requests and replies (RFC 792, RFC 4443 section 4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST_6, ECHO_REPLY_6 = 128, 129
_HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence."""
_IHL_MASK = 0x0F


@dataclass(frozen=True, kw_only=True, slots=True)
class Echo:
    identifier: int
    sequence: int
    payload: bytes


def request(echo: Echo, *, is_ipv6: bool) -> bytes:
    """The message to send; for IPv6 the kernel fills the checksum in (RFC 3542 section 3.1)."""
    kind = ECHO_REQUEST_6 if is_ipv6 else ECHO_REQUEST
    bare = _HEADER.pack(kind, 0, 0, echo.identifier, echo.sequence) + echo.payload
    if is_ipv6:
        return bare
    return bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]


def reply(data: bytes, *, is_ipv6: bool) -> Echo | None:
    """The echo that a received message answers, or None when it is anything else."""
    if len(data) < _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(data)
    if (kind, code) != (ECHO_REPLY_6 if is_ipv6 else ECHO_REPLY, 0):
        return None
    return Echo(identifier=identifier, sequence=sequence, payload=data[_HEADER.size :])


def without_ip_header(data: bytes) -> bytes:
    """What a raw IPv4 socket delivers begins with the IP header (raw(7)), whose length is in its first byte."""
    return data[(data[0] & _IHL_MASK) * 4 :] if data else data


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    even = data if len(data) % 2 == 0 else data + b"\0"
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
