"""Watches what one `proc` means: processes, or a unit of systemd.

A process that is found is held by a descriptor, so its end is known at once and without looking. Looking through /proc
is needed only for processes that are not there yet: often while some are missing, or when more than a number must not
run, and seldom otherwise. A unit is judged by what systemd says of it, and by the processes in its control group while
systemd says nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from holdfast.events.module import ProcessWatch
from holdfast.systemd.unit import UnitState, unit_name

from services.checkers.core import Health, Look, Policy, Value, judge
from services.checkers.process.held import Held
from services.checkers.process.matching import is_right, needs_a_count
from services.checkers.process.table import Found, ProcessTable
from services.checkers.process.units import Followed, Units
from services.checkers.service import Say

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
    news = asyncio.Event()
    with Held(news) as held:
        while True:
            news.clear()
            found = await table.find(watch)
            health = _judged(health, _look_for(watch, found, held, is_new=health.value == Value.INIT))
            await say(health.value)
            await _until(news, partial(_are_too_few, watch, held), _pause_s(watch, health, found.cost_s))


async def watch_unit(watch: ProcessWatch, say: Say, table: ProcessTable, units: Units) -> None:
    """The same for a unit of systemd, whose changes are told by systemd itself."""
    await asyncio.sleep(watch.start_after_s)
    health = Health()
    news = asyncio.Event()
    with units.follow(unit_name(watch.name), news) as unit, Held(news) as held:
        await unit.asked.wait()
        while True:
            news.clear()
            is_time = partial(_is_time, watch, held, unit, unit.state)
            found = await table.find(watch) if _needs_the_table(watch, unit) else Found(meant=())
            health = _judged(health, _look_at_unit(watch, unit, found, held, is_new=health.value == Value.INIT))
            await say(health.value)
            await _until(news, is_time, _pause_s(watch, health, found.cost_s))


def _is_time(watch: ProcessWatch, held: Held, unit: Followed, seen: UnitState | None) -> bool:
    return unit.state != seen or unit.has_ended or _are_too_few(watch, held)


def _needs_the_table(watch: ProcessWatch, unit: Followed) -> bool:
    return unit.state is None or (unit.state.is_running and needs_a_count(watch))


def _look_at_unit(watch: ProcessWatch, unit: Followed, found: Found, held: Held, *, is_new: bool) -> Look | None:
    """None when nothing can be said now, and what was said before still holds."""
    if unit.take_end() and watch.at_least > 0:
        # It may run again already: the next look will tell, at once.
        held.news.set()
        return Look.PROVED_DOWN
    state = unit.state
    if state is None:
        if unit.last is not None and unit.last.has_no_processes:
            return None
        return _look_for(watch, found, held, is_new=is_new)
    if is_new and state.is_starting:
        return None
    if state.is_running and needs_a_count(watch):
        return _look_for(watch, found, held, is_new=is_new)
    held.hold([], 0)
    return _as_look(is_right(watch, int(state.is_running)))


def _look_for(watch: ProcessWatch, found: Found, held: Held, *, is_new: bool) -> Look | None:
    """Hold what was found, and judge by how many there are.

    A process that hangs, so that it does not show its arguments, is still there if it was there before. Another one
    counts for nothing, but as long as nothing is known of the resource it is not said to be down for the lack of it.
    """
    there = [*found.meant, *(seen for seen in found.unread if seen in held)]
    unsure = len(found.meant) + len(found.unread) - len(there)
    held.hold(there, held_max(watch))
    if is_new and any(is_right(watch, len(there) + more) for more in range(1, unsure + 1)):
        return None
    return _as_look(is_right(watch, len(there)))


def _as_look(right: bool) -> Look:
    return Look.PASSED if right else Look.PROVED_DOWN


def _judged(health: Health, look: Look | None) -> Health:
    if look is None:
        return health
    return judge(health, look, time.monotonic_ns() // 1_000_000, POLICY)


def _pause_s(watch: ProcessWatch, health: Health, look_s: float) -> float:
    return pause_s(watch, is_up=health.value == Value.UP, is_settling=health.value == Value.INIT, look_s=look_s)


def _are_too_few(watch: ProcessWatch, held: Held) -> bool:
    return len(held) < max(watch.at_least, 1) or watch.at_most >= 0


async def _until(news: asyncio.Event, is_time: Callable[[], bool], pause: float) -> None:
    """Wait `pause` seconds, or less when there is news and it is time to look."""
    try:
        async with asyncio.timeout(pause):
            while True:
                await news.wait()
                news.clear()
                if is_time():
                    return
    except TimeoutError:
        return
