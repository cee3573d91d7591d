"""The interfaces of this node, read again whenever the kernel says that something changed, shared by all watches."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from holdfast.links.model import Interface
from holdfast.netlink.changes import LinkChanges
from holdfast.netlink.links import read_interfaces
from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted  # type: ignore[import-untyped]

REST_FACTOR = 10
"""A reading is followed by a rest this many times the processor time that it took: changes without end take a tenth of
a core."""
REST_S_MAX = 0.1
"""With hundreds of interfaces the newest reading is still no older than this."""


class Links:
    """`interfaces` is the newest reading, None before the first."""

    def __init__(self) -> None:
        self.interfaces: tuple[Interface, ...] | None = None
        self._listeners: set[asyncio.Event] = set()

    @contextlib.contextmanager
    def heard_by(self, news: asyncio.Event) -> Iterator[None]:
        """Set `news` after every reading, while the context lasts."""
        self._listeners.add(news)
        try:
            yield
        finally:
            self._listeners.discard(news)

    async def keep_reading(self) -> None:
        """Read, wait for a change, read again; for ever. The change is listened for before the first reading."""
        with LinkChanges() as changes:
            async with AsyncIPRoute() as route:
                while True:
                    began_at = time.process_time()
                    # A table that changes while it is read may come out wrong; the change has been noted, so the next
                    # reading follows.
                    with contextlib.suppress(NetlinkDumpInterrupted):
                        self._tell(await read_interfaces(route))
                    await asyncio.sleep(min((time.process_time() - began_at) * REST_FACTOR, REST_S_MAX))
                    await changes.wait()

    def _tell(self, interfaces: tuple[Interface, ...]) -> None:
        if interfaces != self.interfaces:
            self.interfaces = interfaces
            for news in self._listeners:
                news.set()


async def news_within(news: asyncio.Event, limit_s: float | None) -> bool:
    """Wait for news, for ever when limit_s is None; return whether there were any."""
    try:
        async with asyncio.timeout(limit_s):
            await news.wait()
    except TimeoutError:
        return False
    news.clear()
    return True
