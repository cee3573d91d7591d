"""Sends the lines of modules' logs to the system log as well (RFC 3164, over its local socket)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from logging.handlers import SysLogHandler
from types import MappingProxyType

from holdfast.support.wording import Level, Line, line_of

from services.gateway.hub import Item

TAG = "holdfast"
SEVERITIES: Mapping[Level, int] = MappingProxyType(
    {
        Level.C: SysLogHandler.LOG_CRIT,
        Level.E: SysLogHandler.LOG_NOTICE,
        Level.W: SysLogHandler.LOG_WARNING,
        Level.I: SysLogHandler.LOG_INFO,
    }
)
"""What is sent; details are not, they come once a second. An event is significant, but no error (RFC 5424, 6.2.1)."""
TEXT_BYTES_MAX = 2048
"""What every receiver takes (RFC 5424, 6.1)."""
AGAIN_S = 10.0
"""After the socket could not be used: the daemon is being restarted, or there is none."""


class SystemLog:
    """`take` is called with everything that the gateway hears. path: the socket, empty for none.

    It never waits: what the daemon does not take at once is dropped and counted. (SysLogHandler itself would wait: it
    answers every trouble with a new connection, and that one blocks.)
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._again_at = 0.0
        self.dropped = 0

    def take(self, item: Item) -> None:
        """Send the line of a fact, or one that was written into a module's log."""
        line = line_of(item.envelope) if item.envelope is not None else item.line
        if self._path and line is not None and line.level in SEVERITIES:
            self._send(datagram(item.module, line, os.getpid()))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, data: bytes) -> None:
        try:
            if self._socket is None:
                self._connect()
            if self._socket is not None:
                self._socket.send(data)
                return
        except BlockingIOError:
            pass
        except OSError:
            # The daemon is gone. It is looked for again, but not for every line.
            self.close()
            self._again_at = time.monotonic() + AGAIN_S
        self.dropped += 1

    def _connect(self) -> None:
        if time.monotonic() < self._again_at:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(self._path)


def datagram(module: str, line: Line, pid: int) -> bytes:
    """A line as one message; the daemon adds date and host name itself on the local socket (syslog(3))."""
    priority = SysLogHandler.LOG_DAEMON << 3 | SEVERITIES[line.level]
    text = f"<{priority}>{TAG}[{pid}]: {module} | {line.component} | {line.level} | {line.text}"
    return text.encode(errors="replace")[:TEXT_BYTES_MAX]
