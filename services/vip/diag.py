"""Ends TCP connections of an address by netlink (linux/inet_diag.h, INET_DIAG_DESTROY): both ends see a reset."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from holdfast.links.model import Address

log = logging.getLogger("holdfast.vip")

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
SOCK_DESTROY = 21
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
STATES = 0xFFF & ~(1 << 6 | 1 << 7 | 1 << 10) | 1 << 12
"""Every TCP state but TIME_WAIT, CLOSE and LISTEN, with NEW_SYN_RECV (net/tcp_states.h)."""
RECEIVE_BYTES = 1 << 16
TIMEOUT_S = 2.0
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_SOCKET_ID = 48
"""sizeof(struct inet_diag_sockid): ports 2+2, source 16, destination 16, interface 4, cookie 8."""
_MESSAGE_ID_AT = 4
"""Of idiag_sockid in struct inet_diag_msg, after family, state, timer, retransmissions."""


def reset_connections(address: Address) -> int:
    """Reset every connection whose local end is `address`; return how many. Blocks for milliseconds.

    Sockets of IPv6 programs that serve IPv4 are found too. A kernel that cannot destroy sockets is said once per
    call; clients then find out by their own timeouts.
    """
    count = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as channel:
        channel.settimeout(TIMEOUT_S)
        families = (socket.AF_INET, socket.AF_INET6) if address.version == 4 else (socket.AF_INET6,)
        for family in families:
            for identity in list(_connections(channel, family, address)):
                code = _destroy(channel, family, identity)
                if code == errno.EOPNOTSUPP:
                    log.warning("this kernel cannot reset connections (CONFIG_INET_DIAG_DESTROY)")
                    return count
                if code == 0:
                    count += 1
                elif code != errno.ENOENT:
                    log.warning("a connection of %s could not be reset: %s", address, os.strerror(code))
    return count


def _connections(channel: socket.socket, family: int, address: Address) -> Iterator[bytes]:
    """Identities of the connections whose local end is the address."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, STATES) + b"\0" * _SOCKET_ID
    channel.sendto(_message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, body), (0, 0))
    while True:
        for kind, data in _messages(channel.recv(RECEIVE_BYTES)):
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                return
            identity = data[_MESSAGE_ID_AT : _MESSAGE_ID_AT + _SOCKET_ID]
            if len(identity) == _SOCKET_ID and _local(family, identity) == address:
                yield identity


def _destroy(channel: socket.socket, family: int, identity: bytes) -> int:
    """Return 0 or the kernel's error number."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, STATES) + identity
    channel.sendto(_message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, body), (0, 0))
    for kind, data in _messages(channel.recv(RECEIVE_BYTES)):
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data)
            return -int(code)
    return errno.EPROTO


def _local(family: int, identity: bytes) -> Address:
    if family == socket.AF_INET:
        return IPv4Address(identity[4:8])
    source = IPv6Address(identity[4:20])
    return ip_address(int(source.ipv4_mapped)) if source.ipv4_mapped is not None else source


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, place)
        if length < _HEADER.size:
            return
        yield kind, data[place + _HEADER.size : place + length]
        place += (length + 3) & ~3
