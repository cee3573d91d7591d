"""Hands the spans of a node to a collector: one place per node, of no effect on anything when the collector is away.

The local store is the queue. It is bounded, it outlives the exporting service, and it has the spans of a node's first
second, when nobody exports yet. A file remembers up to which span the collector has taken them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import httpx

from holdfast.errors import StorageError
from holdfast.events.envelope import Envelope
from holdfast.events.module import SpanEnded
from holdfast.history import otlp
from holdfast.history.spans import SpanStore

CURSOR_FILE = "exported"
BATCH_SPANS_MAX = 512
"""Spans in one request, as the OpenTelemetry specification recommends for batches."""
GATHER_S = 1.5
"""After the news of a span: the state machine writes spans into the store once a second."""
LOOK_S = 30.0
"""How often the store is looked at without any news."""
REQUEST_S_MAX = 5.0
"""From connecting to the end of the answer; a collector that hangs is not waited for longer."""
ANSWER_BYTES_MAX = 64 << 10
PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 30.0
"""Pauses between attempts double from the one to the other."""
log = logging.getLogger("holdfast.export")


class _Outcome(Enum):
    TAKEN = auto()
    REFUSED = auto()
    LATER = auto()


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Spans of the store; last: the number of the newest; lost: how many before them the store no longer has."""

    spans: Sequence[SpanEnded]
    last: int
    lost: int


class SpanExporter:
    """Sends what the store gets by OTLP over HTTP. exported, dropped: spans handed over, and given up (refused by the
    collector, or gone from the store meanwhile), since this exporter began; waiting: in the store, not handed over."""

    def __init__(self, endpoint: str, *, state_dir: Path, store: str, headers: Mapping[str, str] | None = None) -> None:
        self.exported = 0
        self.dropped = 0
        self.waiting = 0
        self._url = otlp.url(endpoint)
        self._headers = {**(headers or {}), "content-type": otlp.CONTENT_TYPE, "user-agent": "holdfast"}
        self._store = state_dir / store
        self._cursor_file = state_dir / CURSOR_FILE
        self._cursor: int | None = None
        self._news = asyncio.Event()
        self._is_failing = False

    async def take(self, envelope: Envelope[object]) -> None:
        """Look at the store soon: a span has ended. Returns at once, whatever the collector does."""
        if isinstance(envelope.payload, SpanEnded):
            self._news.set()

    async def run(self) -> None:
        """Export until cancelled; what is left is exported by the next one."""
        async with httpx.AsyncClient() as client:
            while True:
                await self._send_waiting(client)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._news.wait()
                    # Before the pause: a span that ends in it may be written into the store only after it.
                    self._news.clear()
                    await asyncio.sleep(GATHER_S)

    async def _send_waiting(self, client: httpx.AsyncClient) -> None:
        pause_s = PAUSE_S_MIN
        while (batch := await asyncio.to_thread(self._next)) is not None:
            if await self._send(client, batch) is not _Outcome.LATER:
                pause_s = PAUSE_S_MIN
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def _next(self) -> _Batch | None:
        """The oldest spans that were not handed over; None when there are none, or the store cannot be read now."""
        try:
            store = SpanStore(self._store, read_only=True)
            try:
                return self._batch(store)
            finally:
                store.close()
        except StorageError as error:
            log.debug("%s", error)
            return None

    def _batch(self, store: SpanStore) -> _Batch | None:
        newest = store.newest()
        if self._cursor is None:
            # Numbers are given again when a crash of the machine took the newest spans along.
            self._cursor = min(_read(self._cursor_file, newest), newest)
        self.waiting = newest - self._cursor
        numbered = store.after(self._cursor, limit=BATCH_SPANS_MAX)
        if not numbered:
            return None
        numbers = [number for number, _span in numbered]
        return _Batch(spans=[span for _number, span in numbered], last=numbers[-1], lost=numbers[0] - self._cursor - 1)

    async def _send(self, client: httpx.AsyncClient, batch: _Batch) -> _Outcome:
        """Send a batch and settle its account; with LATER it is sent again."""
        rejected = 0
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                status, answer = await self._post(client, otlp.request(batch.spans))
            outcome, why = _outcome(status), f"it answered {status}"
            rejected = otlp.rejected(answer) if outcome is _Outcome.TAKEN else len(batch.spans)
        except TimeoutError:
            outcome, why = _Outcome.LATER, f"no answer within {REQUEST_S_MAX:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            outcome, why = _Outcome.LATER, f"{type(error).__name__}: {error}"
        if outcome is not _Outcome.LATER:
            rejected = min(max(rejected, 0), len(batch.spans))
            self._cursor = batch.last
            # Before the count: whoever ends the exporter when all is exported must not leave the file behind.
            await asyncio.to_thread(_write, self._cursor_file, batch.last)
            self.exported += len(batch.spans) - rejected
            self.dropped += rejected + batch.lost
            self.waiting -= len(batch.spans) + batch.lost
        self._tell(outcome, why)
        return outcome

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> tuple[int, bytes]:
        answer = b""
        async with client.stream(
            "POST", self._url, content=body, headers=self._headers, timeout=REQUEST_S_MAX
        ) as response:
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    break
        return response.status_code, answer[:ANSWER_BYTES_MAX]

    def _tell(self, outcome: _Outcome, why: str) -> None:
        """One line when the collector begins to fail, and one when it works again."""
        is_failing = outcome is not _Outcome.TAKEN
        if is_failing and not self._is_failing:
            log.warning("spans cannot be exported to %s: %s", self._url, why)
        if self._is_failing and not is_failing:
            log.warning("spans are exported to %s again; %d were dropped so far", self._url, self.dropped)
        self._is_failing = is_failing


def _outcome(status: int) -> _Outcome:
    if 200 <= status < 300:
        return _Outcome.TAKEN
    return _Outcome.LATER if status in otlp.TO_BE_REPEATED else _Outcome.REFUSED


def _read(path: Path, default: int) -> int:
    """The number in a file; the default when there is none: what was before exporting began is not exported."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        _write(path, default)
        return default


def _write(path: Path, number: int) -> None:
    """Remember a number, whole or not at all; when that fails (disk full), some spans are exported twice."""
    fresh = path.with_name(f".{path.name}.new")
    with suppress(OSError):
        fresh.write_text(str(number))
        fresh.replace(path)
