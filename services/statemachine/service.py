"""The state machine's shell: which modules run, who hears what, how it all begins and ends."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace

from holdfast.bus import subjects
from holdfast.core import witness
from holdfast.errors import EnvironmentFaultError, HoldfastError, NotFoundError, StorageError
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD, CHECKERS
from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import (
    Action,
    AnnounceState,
    CommandRequested,
    ConfigurationApplied,
    HoldAddresses,
    ReportFacts,
    SpanEnded,
    WatchResources,
)
from holdfast.events.replication import ReplicasVerified, ResyncEstimated
from holdfast.events.state import Role
from holdfast.history.spans import FILE_NAME as SPANS_FILE
from holdfast.history.spans import SpanStore
from holdfast.ids import ModuleId
from holdfast.service.context import Context

from services.statemachine.files import LifeMark, configured_modules, read_applied, write_wanted
from services.statemachine.module_runner import ModuleRunner
from services.statemachine.opening import BOOT, SHUTDOWN, open_module
from services.statemachine.orders import checkers_for
from services.statemachine.reserve import Reserve

RUN_VARIABLE = "HOLDFAST_RUN"
"""Set by the supervisor; names one life of the node."""
PLANNED_STOP_S = 75.0
"""For all modules to stop; the supervisor waits a little longer (80 s)."""
HOUSEKEEPING_S = 60.0
HOUSEKEEPINGS_PER_RETENTION = 60
DISK_TURNS = 5
"""Seconds between two looks at the room on the disk."""
SPANS_FLUSH_S = 1.0
RETRY_TURNS = 10
"""Seconds after which a module that could not be opened (no name service yet, disk full) is tried again."""
log = logging.getLogger("holdfast.statemachine")


class StateMachine:
    """All modules of this node."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.runners: dict[ModuleId, ModuleRunner] = {}
        self.failures: dict[ModuleId, str] = {}
        """Modules that cannot be run, and why."""
        self._tasks: dict[ModuleId, asyncio.Task[None]] = {}
        self._delayed: set[asyncio.Task[None]] = set()
        self._life = LifeMark(context.settings.run_dir, os.environ.get(RUN_VARIABLE, ""))
        self._spans = SpanStore(context.settings.state_dir / SPANS_FILE)
        self._reserve = Reserve(context.settings.state_dir)
        self._reserve.fill()
        self._answers: dict[str, asyncio.Future[ReplicasVerified | ResyncEstimated]] = {}

    # -- modules

    async def open_all(self) -> None:
        """Begin or resume every module that has an applied configuration; one that cannot be opened stays closed."""
        for module in configured_modules(self.context.settings):
            if module in self.runners:
                continue
            try:
                resumes = self._life.has_begun(module)
                await self.open(module, None if resumes else read_applied(self.context.settings, module))
            except HoldfastError as error:
                if self.failures.get(module) != str(error):
                    log.error("module %s cannot be run: %s", module, error)
                self.failures[module] = str(error)
        self.write_wanted()

    async def open(self, module: ModuleId, applied: ConfigurationApplied | None) -> ModuleRunner:
        """Run a module, resumed when `applied` is None. Raises what stands against it: ConfigError, StorageError."""
        opened = await asyncio.to_thread(open_module, self.context, module, applied)
        runner = ModuleRunner(self.context, module, opened, self._reserve)
        try:
            await asyncio.to_thread(runner.save)
        except StorageError:
            # A runner that cannot record ends the whole service; a module that is not opened leaves the others alone.
            opened.journal.close()
            opened.authority.close()
            raise
        self.failures.pop(module, None)
        self.runners[module] = runner
        task = asyncio.get_running_loop().create_task(runner.run())
        task.add_done_callback(self._ended)
        self._tasks[module] = task
        if applied is not None:
            await runner.decide(applied)
            for earlier in (*opened.switches, *opened.counted):
                await runner.decide(earlier)
            self._life.begun(module)
        if opened.starts and opened.boot_delay_s:
            delayed = asyncio.get_running_loop().create_task(self._start_later(runner, opened.boot_delay_s))
            self._delayed.add(delayed)
            delayed.add_done_callback(self._delayed.discard)
        elif opened.starts:
            await runner.decide(CommandRequested(action=Action.START, who=BOOT, identity=BOOT))
        return runner

    async def _start_later(self, runner: ModuleRunner, delay_s: int) -> None:
        """Start a module after its `boot_delay`, unless somebody has done something with it meanwhile."""
        await asyncio.sleep(delay_s)
        if self.runners.get(runner.module) is runner and runner.state.role is Role.STOP and runner.state.is_idle:
            await runner.decide(CommandRequested(action=Action.START, who=BOOT, identity=BOOT))

    async def remove(self, module: ModuleId) -> None:
        """Stop running a module (it has to be in STOP) and tell its services to let go."""
        runner = self.runner(module)
        task = self._tasks.pop(module)
        task.remove_done_callback(self._ended)
        task.cancel()
        await asyncio.wait({task})
        runner.close()
        del self.runners[module]
        self._life.forget(module)
        await self._release(module, runner)
        self.write_wanted()

    def runner(self, module: str) -> ModuleRunner:
        """Return a module that runs; raise NotFoundError, or EnvironmentFaultError that says why it cannot be run."""
        found = self.runners.get(ModuleId(module))
        if found is not None:
            return found
        if ModuleId(module) in self.failures:
            raise EnvironmentFaultError(f"module {module!r} cannot be run: {self.failures[ModuleId(module)]}")
        raise NotFoundError(f"module {module!r} does not run: it is not configured on this node")

    def write_wanted(self) -> None:
        """Tell the supervisor which optional services these modules need."""
        wanted: list[str] = []
        for module, runner in self.runners.items():
            settings = runner.state.settings
            if settings.replication is not None:
                wanted.append(f"rfs@{module}")
            wanted += checkers_for(replace(settings.watches.every, witnesses=witness.watch(runner.state)))
        write_wanted(self.context.settings.run_dir, wanted)

    def close(self) -> None:
        for delayed in self._delayed:
            delayed.cancel()
        for task in self._tasks.values():
            task.remove_done_callback(self._ended)
            task.cancel()
        for runner in self.runners.values():
            runner.close()
        self._spans.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A runner never ends by itself: what it could not make durable it must not act on, and neither may we."""
        if not task.cancelled() and task.exception() is not None:
            self.context.stopping.set()

    def raise_failure(self) -> None:
        """Raise what ended a runner, so that the harness reports it and the supervisor starts us again."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _release(self, module: ModuleId, runner: ModuleRunner) -> None:
        settings = runner.state.settings
        announce = AnnounceState(
            announcement=runner.state.announcement,
            peer=settings.peer,
            port=settings.heartbeat_port,
            pulse_ms=settings.heartbeat_pulse_ms,
            timeout_ms=settings.heartbeat_timeout_ms,
            links=(),
        )
        await self.order(module, "vip", HoldAddresses(addresses=(), held=False))
        for checker in CHECKERS:
            await self.order(module, checker, WatchResources())
        await self.order(module, "heartbeat", announce)

    # -- the bus

    async def order(self, module: ModuleId, service: str, order: object) -> None:
        """Give one order to one service."""
        subject = subjects.order(self.context.settings.cluster, module, service, BY_PAYLOAD[type(order)].name)
        await self.context.bus.publish(subject, codec.encode(self.context.envelope(module, order)))

    async def hear(self, envelope: Envelope[object]) -> None:
        """Take a fact from the bus to the modules that it is about. Our own have been taken already."""
        if envelope.source == self.context.name and not isinstance(envelope.payload, SpanEnded):
            return
        if isinstance(envelope.payload, SpanEnded):
            self._spans.add(envelope.payload)
            return
        if isinstance(envelope.payload, ReplicasVerified | ResyncEstimated):
            waiting = self._answers.pop(envelope.payload.request, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(envelope.payload)
        if not BY_PAYLOAD[type(envelope.payload)].recorded:
            return
        for module, runner in self.runners.items():
            if envelope.module in (module, NODE_SCOPE):
                runner.submit(envelope)

    def expect_answer(self, request: str) -> asyncio.Future[ReplicasVerified | ResyncEstimated]:
        """Return what will hold the answer of replication to a request; nobody else may use its name."""
        future: asyncio.Future[ReplicasVerified | ResyncEstimated] = asyncio.get_running_loop().create_future()
        self._answers[request] = future
        return future

    def forget_answer(self, request: str) -> None:
        """Nobody waits for the answer any more."""
        self._answers.pop(request, None)

    async def ask_for_facts(self) -> None:
        """Have every service say what it now observes, and repeat all orders."""
        for runner in list(self.runners.values()):
            await runner.send_all()
        await self.order(NODE_SCOPE, "all", ReportFacts())

    # -- time

    async def keep_house(self) -> None:
        """Flush spans, keep journals within their limits, ask again for what a flood made us drop."""
        turns_per_round = int(HOUSEKEEPING_S / SPANS_FLUSH_S)
        turn = 0
        while True:
            await asyncio.sleep(SPANS_FLUSH_S)
            turn += 1
            self._spans.flush()
            if self.failures and turn % RETRY_TURNS == 0:
                await self.open_all()
            if any(runner.needs_report for runner in self.runners.values()):
                for runner in self.runners.values():
                    runner.needs_report = False
                await self.ask_for_facts()
            if turn % DISK_TURNS == 0:
                self._reserve.fill()
                for runner in self.runners.values():
                    runner.look_at_disk()
            if turn % turns_per_round == 0:
                for runner in list(self.runners.values()):
                    await asyncio.to_thread(runner.journal.checkpoint)
            if turn % (turns_per_round * HOUSEKEEPINGS_PER_RETENTION) == 0:
                for runner in list(self.runners.values()):
                    runner.retain()

    async def stop_modules(self, *, asked: bool = False) -> None:
        """The planned stop before the node ends: stop scripts run, and peers take over at once. Bounded.

        asked: by an operator, whose commands reset loop protection; the node's own end must not.
        """
        stop = CommandRequested(action=Action.STOP, who=SHUTDOWN, identity="" if asked else SHUTDOWN)
        running = [runner for runner in self.runners.values() if runner.state.role is not Role.STOP]
        for runner in running:
            await runner.decide(stop)
        try:
            async with asyncio.timeout(PLANNED_STOP_S):
                for runner in running:
                    await runner.wait_stopped()
        except TimeoutError:
            late = [runner.module for runner in running if runner.state.role is not Role.STOP]
            log.error("not stopped within %g s, given up: %s", PLANNED_STOP_S, ", ".join(late))
