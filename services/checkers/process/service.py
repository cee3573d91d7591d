"""Resource `proc.<name>`: up while the right number of processes runs.

A process that is found is held by a descriptor (pidfd_open(2)), so its end is known at once and without looking.
Looking through /proc is needed only for processes that are not there yet: often while some are missing, or when more
than a number must not run, and seldom otherwise.
"""

from __future__ import annotations

import asyncio
import os
import time
from types import TracebackType

from holdfast.events.module import ProcessWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.priority import prefer_for_takeover

from services.checkers.core import Health, Look, Policy, judge
from services.checkers.process.matching import Seen, is_right
from services.checkers.process.table import ProcessTable
from services.checkers.service import Checker, Say, serve_checker

SOON_S = 0.25
"""Between looks while something is awaited."""
SETTLE_MS = 1000
SETTLE_LOOK_S = 0.05
"""A start script may return a moment before its program has taken its own name."""
REST_FACTOR = 50
"""A look is followed by a rest of at least this many times its own length: at most 2 % of a core."""
SELDOM_S_MAX = 30.0
HELD_MAX = 64
"""Processes held by descriptors per watch, unless more are asked for; the others are only counted."""
HELD_MAX_EVER = 1024

POLICY = Policy(failures=1, settle_ms=SETTLE_MS)


class Held:
    """Descriptors of the oldest matching processes; `ended` is set when one of them ends."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._descriptors: dict[Seen, int] = {}
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for seen in list(self._descriptors):
            self._release(seen)

    def __len__(self) -> int:
        return len(self._descriptors)

    def hold(self, found: list[Seen], count_max: int) -> None:
        """Hold the first `count_max` of these and release all others."""
        wanted = found[:count_max]
        for seen in [held for held in self._descriptors if held not in wanted]:
            self._release(seen)
        for seen in wanted:
            if seen not in self._descriptors:
                self._take(seen)

    def _take(self, seen: Seen) -> None:
        try:
            descriptor = os.pidfd_open(seen.pid)
        except OSError:
            # It ended since it was seen: the next look will not find it.
            self.ended.set()
            return
        self._descriptors[seen] = descriptor
        self._loop.add_reader(descriptor, self._end, seen)

    def _end(self, seen: Seen) -> None:
        self._release(seen)
        self.ended.set()

    def _release(self, seen: Seen) -> None:
        descriptor = self._descriptors.pop(seen)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)


def held_max(watch: ProcessWatch) -> int:
    return min(max(HELD_MAX, watch.at_least), HELD_MAX_EVER)


def pause_s(watch: ProcessWatch, *, is_up: bool, is_settling: bool, look_s: float) -> float:
    """Until the next look when nothing ends in the meantime."""
    rest_s = look_s * REST_FACTOR
    if is_settling:
        return max(SETTLE_LOOK_S, look_s)
    if not is_up or watch.at_most >= 0:
        return max(SOON_S, rest_s)
    return max(min(watch.poll_interval_ms / 1000, SELDOM_S_MAX), SOON_S, rest_s)


async def watch_processes(watch: ProcessWatch, say: Say, table: ProcessTable) -> None:
    """Look, hold what is found, wait for an end or for the next look; for ever."""
    await asyncio.sleep(watch.start_after_s)
    health = Health()
    with Held() as held:
        while True:
            held.ended.clear()
            began_at = time.monotonic()
            found = table.find(watch)
            look_s = time.monotonic() - began_at
            held.hold(found, held_max(watch))
            look = Look.PASSED if is_right(watch, len(found)) else Look.PROVED_DOWN
            health = judge(health, look, time.monotonic_ns() // 1_000_000, POLICY)
            await say(health.value)
            is_up = look is Look.PASSED
            pause = pause_s(watch, is_up=is_up, is_settling=not is_up and health.value == "init", look_s=look_s)
            await _until_look(held, watch, pause)


async def _until_look(held: Held, watch: ProcessWatch, pause: float) -> None:
    """Wait `pause` seconds, or less when so many have ended that too few are held."""
    try:
        async with asyncio.timeout(pause):
            while True:
                await held.ended.wait()
                held.ended.clear()
                if len(held) < max(watch.at_least, 1) or watch.at_most >= 0:
                    return
    except TimeoutError:
        return


async def serve(context: Context) -> None:
    table = ProcessTable()
    prefer_for_takeover()

    async def watcher(_module: ModuleId, watch: ProcessWatch, say: Say) -> None:
        await watch_processes(watch, say, table)

    checker = Checker[ProcessWatch](context, part=lambda order: order.processes, watcher=watcher)
    await serve_checker(context, checker)
