"""One UDP socket per network, between its own address and the peer's; survives addresses that come and go."""

from __future__ import annotations

import contextlib
import errno
import select
import socket

from services.heartbeat.packet import BEAT_BYTES_MAX

RETRY_NS = 200_000_000
"""How long after a failed attempt to open a socket (its address does not exist yet) the next one is made."""
TAKEN_RETRY_NS = 2_000_000
TAKEN_RETRIES_MAX = 50
"""A predecessor that was killed may hold the port a moment longer than the turn; another program holds it for good."""
FAILURES_MAX = 20
"""Failed sends in a row after which the socket is made anew: its address or interface may have been replaced."""
DATAGRAMS_PER_DRAIN_MAX = 256
"""A flood must not keep this process from sending."""
PRIORITY_CONTROL = 6
"""SO_PRIORITY of control traffic (TC_PRIO_INTERACTIVE, linux/pkt_sched.h); above it needs CAP_NET_ADMIN."""


class LinkSocket:
    """The socket of one network; closed while it cannot be opened."""

    __slots__ = (
        "_address",
        "_epoll",
        "_failures",
        "_peer",
        "_retry_at_ns",
        "_socket",
        "_taken",
        "ident",
        "index",
        "refused",
        "trouble",
    )

    def __init__(self, epoll: select.epoll, *, ident: str, index: int, local: str, peer: str, port: int) -> None:
        """index: place of `ident` among the sorted idents of the module."""
        self._epoll = epoll
        self._address, self._peer = (local, port), (peer, port)
        self._socket: socket.socket | None = None
        self._retry_at_ns = 0
        self._failures = 0
        self._taken = 0
        self.ident = ident
        self.index = index
        self.refused = 0
        self.trouble = ""

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def retry_at_ns(self) -> int | None:
        """When `open` should be tried again, or None while the socket is open."""
        return self._retry_at_ns if self._socket is None else None

    def is_for(self, *, index: int, local: str, peer: str, port: int) -> bool:
        return (index, (local, port), (peer, port)) == (self.index, self._address, self._peer)

    def open(self, at_ns: int) -> bool:
        """Try to open; return whether the socket is new. `trouble` says why not."""
        if self._socket is not None or at_ns < self._retry_at_ns:
            return False
        self._retry_at_ns = at_ns + RETRY_NS
        made: socket.socket | None = None
        try:
            local, family = numeric(self._address)
            peer, peer_family = numeric(self._peer)
            if family != peer_family:
                raise OSError("the two addresses are of different families")
            made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY_CONTROL)
            made.bind(local)
            made.connect(peer)
            self._epoll.register(made.fileno(), select.EPOLLIN)
        except OSError as error:
            if made is not None:
                made.close()
            self.trouble = f"{self._address[0]} port {self._address[1]} to {self._peer[0]}: {error}"
            if error.errno == errno.EADDRINUSE and self._taken < TAKEN_RETRIES_MAX:
                self._taken += 1
                self._retry_at_ns = at_ns + TAKEN_RETRY_NS
            return False
        self._socket, self._failures, self._taken, self.trouble = made, 0, 0, ""
        return True

    def send(self, datagram: bytes) -> None:
        """Send; what cannot be sent is lost, like any datagram."""
        if self._socket is None:
            return
        try:
            self._socket.send(datagram)
            self._failures = 0
        except ConnectionRefusedError:
            # The answer to an earlier datagram: the peer's kernel lives, its heartbeat does not.
            self.refused += 1
        except BlockingIOError:
            return
        except OSError as error:
            self.trouble = f"sending to {self._peer[0]}: {error}"
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self.close()

    def receive(self) -> list[bytes]:
        """Everything that waits, oldest first, up to a bound."""
        waiting: list[bytes] = []
        if self._socket is None:
            return waiting
        for _ in range(DATAGRAMS_PER_DRAIN_MAX):
            try:
                waiting.append(self._socket.recv(BEAT_BYTES_MAX + 1))
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self.refused += 1
            except OSError as error:
                self.trouble = f"receiving from {self._peer[0]}: {error}"
                break
        return waiting

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None


def numeric(address: tuple[str, int]) -> tuple[tuple[str, int] | tuple[str, int, int, int], int]:
    """Return the socket address and family of a literal address (with a zone such as `fe80::1%eth0`)."""
    try:
        found = socket.getaddrinfo(
            *address, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except socket.gaierror as error:
        raise OSError(f"{address[0]!r} is not an address of this node's networks: {error}") from error
    family, _, _, _, where = found[0]
    return (where[0], where[1]) if len(where) == 2 else where, family  # type: ignore[return-value]
