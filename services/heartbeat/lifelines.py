"""TCP connections to the peer's supervisor: their end, told by a kernel that still answers, is evidence."""

from __future__ import annotations

import contextlib
import errno
import select
import socket

from services.heartbeat.core import Lifeline
from services.heartbeat.links import numeric

RETRY_NS = 1_000_000_000
CONNECT_NS_MAX = 1_000_000_000
AGAIN_NS = 2_000_000
"""After a close the listener may still be closing: a little patience before the connection that is to be refused."""
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 5, 1, 3
"""Finds connections whose other end vanished without a word; that says nothing about the peer, only that we redial."""
DISCARD_BYTES = 4096


class LifelineSocket:
    """One lifeline. `state` is what the detector should know; `advance` and `ready` return True when it changed."""

    def __init__(self, epoll: select.epoll, *, local: str, peer: str, port: int) -> None:
        self._epoll = epoll
        self._local, self._peer = local, (peer, port)
        self._socket: socket.socket | None = None
        self._is_connecting = False
        self._stood = False
        self._act_at_ns = 0
        self.state = Lifeline.UNKNOWN

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def act_at_ns(self) -> int | None:
        """When `advance` is due; None while connected."""
        return None if self.state is Lifeline.OPEN else self._act_at_ns

    def advance(self, at_ns: int) -> bool:
        """Dial when due, give up a dial that takes too long."""
        if self.state is Lifeline.OPEN or at_ns < self._act_at_ns:
            return False
        if self._is_connecting:
            return self._fail(at_ns, errno.ETIMEDOUT)
        return self._dial(at_ns)

    def ready(self, at_ns: int) -> bool:
        """The socket has something to say."""
        if self._socket is None:
            return False
        if self._is_connecting:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return self._fail(at_ns, code) if code else self._stand()
        try:
            if self._socket.recv(DISCARD_BYTES):
                return False
        except BlockingIOError:
            return False
        except ConnectionResetError:
            pass
        except OSError as error:
            return self._fail(at_ns, error.errno or errno.EIO)
        self.close()
        self.state = Lifeline.UNKNOWN
        self._stood = True
        self._act_at_ns = at_ns + AGAIN_NS
        return True

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._is_connecting = False

    def _dial(self, at_ns: int) -> bool:
        self._act_at_ns = at_ns + CONNECT_NS_MAX
        try:
            local, family = numeric((self._local, 0))
            peer, _ = numeric(self._peer)
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            for option, value in (
                (socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
                (socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S),
                (socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
            ):
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket.bind(local)
            code = self._socket.connect_ex(peer)
        except OSError as error:
            return self._fail(at_ns, error.errno or errno.EIO)
        if code not in (0, errno.EINPROGRESS):
            return self._fail(at_ns, code)
        self._is_connecting = True
        self._epoll.register(self._socket.fileno(), select.EPOLLIN | select.EPOLLOUT)
        return False

    def _stand(self) -> bool:
        self._is_connecting = False
        self._epoll.modify(self.fileno(), select.EPOLLIN)
        self._stood = True
        self.state = Lifeline.OPEN
        return True

    def _fail(self, at_ns: int, code: int) -> bool:
        """A refusal after the connection stood is evidence; every other failure says nothing."""
        before = self.state
        self.close()
        self._act_at_ns = at_ns + RETRY_NS
        if code == errno.ECONNREFUSED and self._stood:
            self.state = Lifeline.REFUSED
        else:
            self.state = Lifeline.UNKNOWN
            self._stood = self._stood and code == errno.ECONNREFUSED
        return self.state is not before
