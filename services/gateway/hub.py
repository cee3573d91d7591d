"""The newest facts in memory: for live views that may resume, for waiting, and for figures."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.codec import payload_to_jsonable
from holdfast.events.envelope import Envelope
from holdfast.events.membership import HeartbeatLinkChanged, PeerFound, PeerLost
from holdfast.events.replication import ReplicationReported
from holdfast.support.wording import Line

KEPT = 2048
"""Facts that a reader who was away for a moment can still be given."""
WAITING_MAX = 1024
"""Facts that wait for one slow reader; beyond that it is told to begin anew."""
READERS_MAX = 64


@dataclass(frozen=True, kw_only=True)
class Item:
    """One fact, or (envelope None) a line that somebody wrote into a module's log."""

    id: str
    module: str
    envelope: Envelope[object] | None = None
    line: Line | None = None


@dataclass(kw_only=True, eq=False)
class _Reader:
    queue: asyncio.Queue[Item] = field(default_factory=lambda: asyncio.Queue(WAITING_MAX))
    lost: bool = False


@dataclass(kw_only=True)
class Figures:
    """What the newest facts say about one module, for /metrics."""

    replication: ReplicationReported | None = None
    links: dict[str, bool] = field(default_factory=dict)
    peer_heard: bool | None = None


class Hub:
    """Takes every fact in, hands each to everyone who listens; bounded everywhere."""

    def __init__(self) -> None:
        self._kept: deque[Item] = deque(maxlen=KEPT)
        self._readers: set[_Reader] = set()
        self._news = asyncio.Condition()
        self.figures: dict[str, Figures] = {}
        self.closing = asyncio.Event()
        self._takers: list[Callable[[Item], None]] = []

    def on_item(self, taker: Callable[[Item], None]) -> None:
        """Hand every item on at once; a taker never waits."""
        self._takers.append(taker)

    async def take(self, envelope: Envelope[object]) -> None:
        self._note(envelope)
        await self.put(Item(id=envelope.id, module=envelope.module, envelope=envelope))

    async def put(self, item: Item) -> None:
        self._kept.append(item)
        for taker in self._takers:
            taker(item)
        for reader in self._readers:
            try:
                reader.queue.put_nowait(item)
            except asyncio.QueueFull:
                reader.lost = True
        async with self._news:
            self._news.notify_all()

    async def close(self) -> None:
        """End every reader."""
        self.closing.set()
        async with self._news:
            self._news.notify_all()

    async def changed(self, timeout_s: float) -> None:
        """Return when a fact has come, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait()

    @property
    def is_full(self) -> bool:
        return len(self._readers) >= READERS_MAX

    @property
    def newest(self) -> str:
        """Id of the newest fact, empty when there is none yet."""
        return self._kept[-1].id if self._kept else ""

    async def follow(self, after: str = "", *, whole: bool = False) -> AsyncIterator[Item | None]:
        """Yield facts from the one after `after` on; None when some could not be given (begin anew).

        Without `after`, facts from now on, or (whole) from the oldest kept on.
        """
        reader = _Reader()
        kept = list(self._kept)
        self._readers.add(reader)
        try:
            begin = 0 if whole else len(kept)
            place = next((at for at, item in enumerate(kept) if item.id == after), None) if after else begin
            if place is None:
                yield None
                place = len(kept)
            for item in kept[place + 1 if after and place < len(kept) else place :]:
                yield item
            while not self.closing.is_set() and not reader.lost:
                item_or_none = await self._next(reader)
                if item_or_none is not None:
                    yield item_or_none
            if reader.lost:
                yield None
        finally:
            self._readers.discard(reader)

    async def _next(self, reader: _Reader) -> Item | None:
        """The next fact, or None after a moment, so that the end of the service is noticed."""
        try:
            async with asyncio.timeout(0.5):
                return await reader.queue.get()
        except TimeoutError:
            return None

    def _note(self, envelope: Envelope[object]) -> None:
        figures = self.figures.setdefault(envelope.module, Figures())
        match envelope.payload:
            case ReplicationReported() as report:
                figures.replication = report
            case HeartbeatLinkChanged() as link:
                figures.links[link.ident] = link.up
            case PeerFound():
                figures.peer_heard = True
            case PeerLost():
                figures.peer_heard = False
            case _:
                pass


def as_json(envelope: Envelope[object]) -> dict[str, object]:
    """A fact for readers outside."""
    return {
        "id": envelope.id,
        "type": BY_PAYLOAD[type(envelope.payload)].name,
        "module": envelope.module,
        "node": envelope.node,
        "source": envelope.source,
        "wall_ns": envelope.at_wall_ns,
        "hlc": [envelope.hybrid.wall_ms, envelope.hybrid.counter],
        "cause": envelope.cause,
        "trace": envelope.trace,
        "payload": payload_to_jsonable(envelope.payload),
    }
