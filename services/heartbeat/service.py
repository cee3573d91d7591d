"""The shell between the bus and the engine: orders in, facts out, last words at the end."""

from __future__ import annotations

import asyncio
import functools
import logging
import os

from holdfast.errors import InvariantError
from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.membership import PeerLost, PeerReported
from holdfast.events.module import AnnounceState
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.ending import node_is_ending
from holdfast.service.run import ready
from holdfast.telemetry import new_trace

from services.heartbeat.engine import Engine
from services.heartbeat.lease import Lease
from services.heartbeat.turn import Turn

log = logging.getLogger("holdfast.heartbeat")

LOOK_INTERVAL_S = 5.0
NS_PER_MS = 1_000_000
LET_GO_S = 0.3
"""When the node ends, beats go on for so long: vip lets go before the peer is told that it may act."""
WORDS_STOPPED = "the node stops"
WORDS_ORPHANED = "its supervisor died"
WORDS_UNCONFIRMED = "nobody has confirmed its order"


async def serve(context: Context, engine: Engine, turn: Turn) -> None:
    """Run until `context.stopping`; the engine beats already, with the orders of the last life.

    The turn is given away when only this process ends. After last words nobody may beat, so then it is kept.
    """
    parent = os.getppid()
    shell = Shell(context, engine)
    loop = asyncio.get_running_loop()
    engine.attach(functools.partial(_wake, loop, shell.wake))
    await context.on_order(AnnounceState, shell.obey)
    context.on_report(shell.report)
    engine.repeat(None)
    tasks = [loop.create_task(shell.pump()), loop.create_task(shell.watch())]
    await ready(context)
    stop = loop.create_task(context.stopping.wait())
    try:
        await asyncio.wait({stop, tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        words = ""
        if await node_is_ending(context.settings):
            words = WORDS_ORPHANED if os.getppid() != parent else WORDS_STOPPED
            await asyncio.sleep(LET_GO_S)
        await asyncio.to_thread(engine.stop, words)
        if not words:
            turn.give_away()
    finally:
        for task in [*tasks, stop]:
            task.cancel()


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """Called in the engine's thread, which may outlive the loop by a moment at the end."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)


class Shell:
    """What `serve` keeps between messages."""

    def __init__(self, context: Context, engine: Engine) -> None:
        self.wake = asyncio.Event()
        self.wake.set()
        self._context = context
        self._engine = engine
        self._spare_told = False
        self._traced: dict[ModuleId, int] = {}
        self._lease = Lease(modules=engine.resumed, started_ns=context.clock.mono_ns())

    async def obey(self, order: Envelope[AnnounceState]) -> None:
        """Hand an order to the engine; an order is also a sign of life of the decider."""
        self._engine.hybrid.observe(order.hybrid)
        self._lease.ordered(order.module)
        self._engine.obey(order.module, order.payload)
        if self._engine.needs_spare is not self._spare_told:
            self.ask_for_spare()

    def ask_for_spare(self) -> None:
        """Tell the supervisor whether another process is to wait for this one's end."""
        self._spare_told = self._engine.needs_spare
        self._context.notifier.spare(wanted=self._spare_told)

    async def report(self, module: ModuleId) -> None:
        self._engine.repeat(None if module == NODE_SCOPE else module)

    async def pump(self) -> None:
        """Publish facts in the order in which they were found."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            for module, fact, found_at_ns in self._engine.take_facts():
                self._context.hybrid.observe(self._engine.hybrid.now())
                trace = fact.announcement.trace if isinstance(fact, PeerReported) else ""
                if isinstance(fact, PeerLost):
                    log.warning("peer of %s lost (%s): %s", module, fact.reason, fact.evidence)
                    trace = self._trace_loss(module, fact, found_at_ns)
                await self._context.publish(module, fact, trace=trace)
            if self._engine.has_failed:
                raise InvariantError("the thread of beats failed; its last words are on standard error")

    def _trace_loss(self, module: ModuleId, lost: PeerLost, found_at_ns: int) -> str:
        """Begin the trace of what follows from the loss with the silence that led to the verdict.

        A verdict that is only told again begins none.
        """
        if self._traced.get(module) == lost.last_heard_mono_ns:
            return ""
        self._traced[module] = lost.last_heard_mono_ns
        trace = new_trace()
        clock = self._context.clock
        end_ns = clock.wall_ns() - (clock.mono_ns() - found_at_ns)
        self._context.telemetry.record(
            "silence",
            trace=trace,
            start_wall_ns=end_ns - int(lost.silent_ms * NS_PER_MS),
            end_wall_ns=end_ns,
            attributes={"module": module, "reason": lost.reason, "evidence": lost.evidence},
        )
        return trace

    async def watch(self) -> None:
        """End beats that no state machine stands behind, with a word to the peer; ask again for what is needed."""
        while True:
            self.ask_for_spare()
            for module in self._lease.run_out(self._context.clock.mono_ns()):
                log.error("beats of %s end: %s", module, WORDS_UNCONFIRMED)
                self._engine.dismiss(module, WORDS_UNCONFIRMED)
            await asyncio.sleep(LOOK_INTERVAL_S)
