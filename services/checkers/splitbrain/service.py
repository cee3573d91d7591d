"""Resource `splitbrain.<ident>`, and what the witness says to the question whether this node may act alone.

What is asked changes with each order; while an order stands, the witness is told the same again and again. So it knows
who acts, and whoever watches the node knows that the witness is there before it is needed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import WatchResources, WitnessKind, WitnessReported, WitnessWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.run import ready

from services.checkers.splitbrain.answer import Heard
from services.checkers.splitbrain.echo import EchoWitness
from services.checkers.splitbrain.lease import LeaseWitness

INTERVAL_S = 10.0
"""While nothing is asked; the model's interval of checkers."""
AGAIN_S = 1.0
"""While something is asked that was not granted: the witness may be on its way back, or free."""

log = logging.getLogger("holdfast.checkers")


@dataclass(kw_only=True)
class _Running:
    task: asyncio.Task[None]
    watch: WitnessWatch
    said: WitnessReported | None = None


class Splitbrain:
    """One task for each module that has a witness."""

    def __init__(self, context: Context, echo: EchoWitness, lease: LeaseWitness) -> None:
        self._context = context
        self._echo = echo
        self._lease = lease
        self._running: dict[ModuleId, _Running] = {}

    async def obey(self, order: Envelope[WatchResources]) -> None:
        """Tell the witness what this order says, and nothing else, from now on."""
        watch = next(iter(order.payload.witnesses), None)
        running = self._running.get(order.module)
        if running is not None:
            if running.watch == watch:
                return
            running.task.cancel()
            del self._running[order.module]
        if watch is not None:
            task = asyncio.get_running_loop().create_task(self._tell_on(order.module, watch))
            task.add_done_callback(self._ended)
            self._running[order.module] = _Running(task=task, watch=watch)

    async def report(self, module: ModuleId) -> None:
        """Say again what the witness last said."""
        for known, running in list(self._running.items()):
            if module in (known, NODE_SCOPE) and running.said is not None:
                await self._context.publish(known, running.said)

    async def close(self) -> None:
        tasks = [running.task for running in self._running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tell_on(self, module: ModuleId, watch: WitnessWatch) -> None:
        while True:
            heard = await self._ask(module, watch)
            await self._say(module, watch, heard)
            is_open = bool(watch.question) and not heard.granted
            await asyncio.sleep(AGAIN_S if is_open or not heard.reachable else INTERVAL_S)

    async def _ask(self, module: ModuleId, watch: WitnessWatch) -> Heard:
        match watch.kind:
            case WitnessKind.PING:
                return await self._echo.ask(watch)
            case WitnessKind.LEASE:
                return await self._lease.ask(module, watch)

    async def _say(self, module: ModuleId, watch: WitnessWatch, heard: Heard) -> None:
        fact = WitnessReported(
            ident=watch.ident,
            reachable=heard.reachable,
            question=watch.question,
            granted=heard.granted and bool(watch.question),
            why=heard.why,
        )
        running = self._running.get(module)
        if running is None or running.watch != watch or running.said == fact:
            return
        log.info("witness %s of module %s: %s", watch.ident, module, heard)
        running.said = fact
        await self._context.publish(module, fact)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A watch never ends by itself: if one failed, this service must not go on as if it still asked."""
        if not task.cancelled() and task.exception() is not None:
            log.error("a watch failed; the service ends to be restarted", exc_info=task.exception())
            self._context.stopping.set()


async def serve(context: Context) -> None:
    echo = EchoWitness()
    splitbrain = Splitbrain(context, echo, LeaseWitness(context.settings))
    await context.on_order(WatchResources, splitbrain.obey)
    context.on_report(splitbrain.report)
    await ready(context)
    await context.stopping.wait()
    await splitbrain.close()
    echo.close()
