"""One socket for each address family, through which all watches of this service send and hear."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from services.checkers.ping.names import Target
from services.checkers.ping.packet import (
    ECHO_REPLY,
    ECHO_REPLY_6,
    Echo,
    reply,
    request,
    without_ip_header,
)

SENDS = 3
"""Requests within one timeout: a lost packet is no failure, and an answer to any of them counts."""
PAYLOAD_BYTES = 16
"""Random, so that no other answer can be taken for ours."""
SEQUENCES = 1 << 16
READS_MAX = 64
DATAGRAM_BYTES_MAX = 1024
SOL_RAW, ICMP_FILTER = 255, 1
"""linux/icmp.h: a mask of the types that are not delivered."""
ICMP6_FILTER = 1
"""linux/icmpv6.h: the same, 256 bits."""

log = logging.getLogger("holdfast.checkers")


@dataclass(frozen=True, kw_only=True)
class _Pending:
    address: str
    payload: bytes
    answered: asyncio.Event


class EchoSocket:
    """Sends requests of one address family and hears the replies to them.

    A datagram socket when the system allows it (ping_group_range, icmp(7)): the kernel then delivers only replies to
    us. Else a raw one, with a filter that lets only echo replies pass. Raises OSError when neither is allowed.
    """

    def __init__(self, *, is_ipv6: bool) -> None:
        self._is_ipv6 = is_ipv6
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._sequence = int.from_bytes(os.urandom(2), "big")
        self._pending: dict[int, _Pending] = {}
        self._socket, self._is_raw = _open(is_ipv6=is_ipv6)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)

    async def is_answered(self, target: Target, timeout_s: float) -> bool:
        """Send up to SENDS requests, evenly over the time allowed; return whether any was answered in it."""
        answered = asyncio.Event()
        payload = os.urandom(PAYLOAD_BYTES)
        mine: list[int] = []
        try:
            for _ in range(SENDS):
                mine.append(self._send(target, _Pending(address=target.address, payload=payload, answered=answered)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s / SENDS):
                        await answered.wait()
                        return True
            return False
        finally:
            for sequence in mine:
                self._pending.pop(sequence, None)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _send(self, target: Target, pending: _Pending) -> int:
        self._sequence = (self._sequence + 1) % SEQUENCES
        self._pending[self._sequence] = pending
        echo = Echo(identifier=self._identifier, sequence=self._sequence, payload=pending.payload)
        try:
            self._socket.sendto(request(echo, is_ipv6=self._is_ipv6), (target.address, 0))
        except OSError as error:
            # No route, or an interface that is down: no answer will come, as if the request were lost.
            log.debug("echo request to %s: %s", pending.address, error)
        return self._sequence

    def _read(self) -> None:
        for _ in range(READS_MAX):
            try:
                data, sender = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                # An error report for an earlier request: it stays unanswered.
                continue
            self._take(data, str(sender[0]))

    def _take(self, data: bytes, sender: str) -> None:
        if self._is_raw and not self._is_ipv6:
            data = without_ip_header(data)
        echo = reply(data, is_ipv6=self._is_ipv6)
        pending = self._pending.get(echo.sequence) if echo is not None else None
        if echo is None or pending is None or echo.payload != pending.payload:
            return
        # The kernel gives datagram sockets an identifier of its own, and has compared it.
        if (not self._is_raw or echo.identifier == self._identifier) and _same(sender, pending.address):
            pending.answered.set()


class Echoes:
    """Both sockets, each opened when it is first needed."""

    def __init__(self) -> None:
        self._sockets: dict[bool, EchoSocket] = {}

    async def is_answered(self, target: Target, timeout_s: float) -> bool:
        """Whether the target answers within the time; raises OSError when no socket can be made."""
        if target.is_ipv6 not in self._sockets:
            self._sockets[target.is_ipv6] = EchoSocket(is_ipv6=target.is_ipv6)
        return await self._sockets[target.is_ipv6].is_answered(target, timeout_s)

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()


def _same(sender: str, address: str) -> bool:
    """The kernel may name the interface after an IPv6 address."""
    return ip_address(sender.partition("%")[0]) == ip_address(address.partition("%")[0])


def _open(*, is_ipv6: bool) -> tuple[socket.socket, bool]:
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if is_ipv6 else socket.IPPROTO_ICMP
    flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        return socket.socket(family, socket.SOCK_DGRAM | flags, protocol), False
    except OSError:
        made = socket.socket(family, socket.SOCK_RAW | flags, protocol)
    if is_ipv6:
        words = [0xFFFFFFFF] * 8
        words[ECHO_REPLY_6 >> 5] &= ~(1 << (ECHO_REPLY_6 & 31)) & 0xFFFFFFFF
        made.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *words))
    else:
        made.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
    return made, True
