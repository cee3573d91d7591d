"""The shell between the bus and the engine: orders in, facts out, last words at the end."""

from __future__ import annotations

import asyncio
import functools
import logging
import os

from holdfast.bus import subjects
from holdfast.errors import EnvironmentFaultError, UnavailableError
from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.membership import PeerLost, PeerReported
from holdfast.events.module import AnnounceState
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.run import ready

from services.heartbeat.engine import Engine
from services.heartbeat.lease import Lease

log = logging.getLogger("holdfast.heartbeat")

ASK_INTERVAL_S = 2.0
ASK_TIMEOUT_S = 1.0
LET_GO_S = 0.5
"""After the death of the supervisor beats go on for so long: vip lets go before the peer is told that it may act."""
WORDS_STOPPED = "the node stops"
WORDS_ORPHANED = "its supervisor died"
WORDS_UNDECIDED = "its state machine has been silent for too long"


async def serve(context: Context, engine: Engine) -> None:
    """Run until `context.stopping`; the engine beats already, with the orders of the last life."""
    parent = os.getppid()
    shell = Shell(context, engine)
    loop = asyncio.get_running_loop()
    engine.attach(functools.partial(_wake, loop, shell.wake))
    await context.on_order(AnnounceState, shell.obey)
    context.on_report(shell.report)
    engine.repeat(None)
    tasks = [loop.create_task(shell.pump()), loop.create_task(shell.watch_decider())]
    await ready(context)
    stop = loop.create_task(context.stopping.wait())
    try:
        await asyncio.wait({stop, tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        orphaned = os.getppid() != parent
        if orphaned:
            await asyncio.sleep(LET_GO_S)
        await asyncio.to_thread(engine.stop, WORDS_ORPHANED if orphaned else WORDS_STOPPED)
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
        self._lease = Lease(modules=engine.resumed, started_ns=context.clock.mono_ns())

    async def obey(self, order: Envelope[AnnounceState]) -> None:
        """Hand an order to the engine; an order is also a sign of life of the decider."""
        self._engine.hybrid.observe(order.hybrid)
        self._lease.ordered(order.module, self._context.clock.mono_ns())
        self._engine.obey(order.module, order.payload)
        self._judge_decider()

    async def report(self, module: ModuleId) -> None:
        self._engine.repeat(None if module == NODE_SCOPE else module)

    async def pump(self) -> None:
        """Publish facts in the order in which they were found."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            for module, fact, _found_at_ns in self._engine.take_facts():
                self._context.hybrid.observe(self._engine.hybrid.now())
                if isinstance(fact, PeerLost):
                    log.warning("peer of %s lost (%s): %s", module, fact.reason, fact.evidence)
                trace = fact.announcement.trace if isinstance(fact, PeerReported) else ""
                await self._context.publish(module, fact, trace=trace)
            if self._engine.failure is not None:
                raise EnvironmentFaultError(f"the thread of beats failed: {self._engine.failure!r}")

    async def watch_decider(self) -> None:
        """Ask the state machine now and then whether it is there, and stop claiming a role when it is gone for good."""
        subject = subjects.ask(self._context.settings.cluster, "statemachine", "alive")
        while True:
            try:
                await self._context.bus.ask(subject, b"", timeout_s=ASK_TIMEOUT_S)
                self._lease.answered(self._context.clock.mono_ns())
            except UnavailableError:
                pass
            self._judge_decider()
            await asyncio.sleep(ASK_INTERVAL_S)

    def _judge_decider(self) -> None:
        for module, is_in_force in self._lease.judge(self._context.clock.mono_ns()):
            if not is_in_force:
                log.error("beats of %s say goodbye: %s", module, WORDS_UNDECIDED)
            self._engine.set_farewell(module, "" if is_in_force else WORDS_UNDECIDED)
