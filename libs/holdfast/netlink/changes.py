"""Says when the kernel's interfaces or addresses have changed, without reading what: whoever is told looks again.

Only the arrival of notifications counts, so one that is lost (the socket's buffer ran over, ENOBUFS, netlink(7)) is as
good as one that is read.
"""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType

RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
"""Groups of netlink(7), linux/rtnetlink.h."""
READS_MAX = 64
"""Notifications taken away at once; the next turn of the loop takes more, and others get theirs in between."""
NOTIFICATION_BYTES = 1
"""The rest of a notification is cut off unread."""


class LinkChanges:
    """Opened by `with`, in the network namespace of the calling thread."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def __enter__(self) -> LinkChanges:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    async def wait(self) -> None:
        """Return when something may have changed since the last return; several changes may come as one."""
        await self._rung.wait()
        self._rung.clear()

    def _read(self) -> None:
        for _ in range(READS_MAX):
            try:
                self._socket.recv(NOTIFICATION_BYTES)
            except BlockingIOError:
                break
            except OSError:
                # ENOBUFS: notifications were lost, which is itself the news. The kernel says so once.
                pass
        self._rung.set()
