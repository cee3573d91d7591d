"""Resource `ping.<ident>`: up while an address answers echo requests."""

from __future__ import annotations

import asyncio
import time

from holdfast.events.module import PingWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context

from services.checkers.core import Health, Look, Policy, Value, judge
from services.checkers.ping.echoes import Echoes
from services.checkers.ping.names import Names
from services.checkers.service import Checker, Say, serve_checker

INTERVAL_MS_MIN = 10
TIMEOUT_MS_MIN = 10
POLICY = Policy()
"""A look in which several requests stayed unanswered is proof."""


class Pinger:
    """What all watches share."""

    def __init__(self) -> None:
        self._echoes = Echoes()
        self._names = Names()

    async def look_once(self, watch: PingWatch, health: Health) -> Look:
        """One look takes the timeout at most, with everything that belongs to it."""
        timeout_s = max(watch.timeout_ms, TIMEOUT_MS_MIN) / 1000
        try:
            async with asyncio.timeout(timeout_s):
                target = await self._names.find(watch.address, is_doubted=health.value is Value.DOWN)
                is_answered = target is not None and await self._echoes.is_answered(target, timeout_s)
        except TimeoutError:
            return Look.PROVED_DOWN
        return Look.PASSED if is_answered else Look.PROVED_DOWN

    async def watch(self, _module: ModuleId, watch: PingWatch, say: Say) -> None:
        """Look for ever, each look an interval after the last one began."""
        interval_s = max(watch.interval_ms, INTERVAL_MS_MIN) / 1000
        health = Health()
        while True:
            began_at = time.monotonic()
            look = await self.look_once(watch, health)
            health = judge(health, look, time.monotonic_ns() // 1_000_000, POLICY)
            await say(health.value)
            await asyncio.sleep(max(began_at + interval_s - time.monotonic(), INTERVAL_MS_MIN / 1000))

    def close(self) -> None:
        self._echoes.close()


async def serve(context: Context) -> None:
    pinger = Pinger()
    checker = Checker[PingWatch](context, part=lambda order: order.ping, watcher=pinger.watch)
    try:
        await serve_checker(context, checker)
    finally:
        pinger.close()
