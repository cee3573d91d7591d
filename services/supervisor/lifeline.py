"""The lifeline: a TCP port on which peers' heartbeats hold a connection, so that our kernel tells them of our end."""

from __future__ import annotations

import logging
import selectors
import socket

CONNECTIONS_MAX = 64
RECEIVED_BYTES_MAX = 1 << 16
"""Nothing is expected on a lifeline; what talks more than this is not a heartbeat."""
BACKLOG = 64
READ_BYTES = 4096
KEEPALIVE_IDLE_S = 10
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_PROBES = 3
"""A peer that vanished without a word is forgotten after 25 s, so that its connections do not fill the limit."""
log = logging.getLogger("holdfast.supervisor")


class Lifeline:
    """Accepts and holds; answers nothing, discards what it receives."""

    def __init__(self, selector: selectors.BaseSelector, port: int) -> None:
        self._selector = selector
        self._port = port
        self._listener: socket.socket | None = None
        self._received: dict[socket.socket, int] = {}

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def open(self) -> bool:
        """Listen on all addresses; False (and a warning) when the port cannot be had now."""
        try:
            self._listener = _listener(self._port)
        except OSError as error:
            log.warning("lifeline port %d cannot be opened: %s", self._port, error)
            return False
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        return True

    def close(self) -> None:
        """Close all: peers are told by the kernel."""
        for held in list(self._received):
            self._drop(held)
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            held, _ = self._listener.accept()
        except OSError:
            # The caller gave up before we came to it, or descriptors ran out; the next one is accepted again.
            return
        if len(self._received) >= CONNECTIONS_MAX:
            held.close()
            return
        held.setblocking(False)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
        self._received[held] = 0
        self._selector.register(held, selectors.EVENT_READ, lambda: self._discard(held))

    def _discard(self, held: socket.socket) -> None:
        try:
            count = len(held.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._received[held] += count
        if count == 0 or self._received[held] > RECEIVED_BYTES_MAX:
            self._drop(held)

    def _drop(self, held: socket.socket) -> None:
        self._selector.unregister(held)
        del self._received[held]
        held.close()


def _listener(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6, or for IPv4 alone on a machine without IPv6."""
    if socket.has_dualstack_ipv6():
        listener = socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("", port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener
