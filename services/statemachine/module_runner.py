"""Runs one module: takes events one after the other, records, decides, makes durable, then gives orders."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections import deque
from dataclasses import dataclass, replace
from functools import partial

from holdfast.bus import subjects
from holdfast.core.condition import DOWN, UP
from holdfast.core.state import State
from holdfast.errors import StorageError
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import Envelope
from holdfast.events.module import (
    CommandRefused,
    CommandRequested,
    ModuleOpened,
    RebootOrdered,
    ResourceReported,
    ScriptFinished,
    ServiceStarted,
    StateChanged,
    TimerFired,
)
from holdfast.events.state import Role
from holdfast.history.decider import Decision, step
from holdfast.history.snapshots import dump_snapshot
from holdfast.ids import ModuleId
from holdfast.journal.port import (
    BATCH_MS_MAX,
    CommandNoted,
    ResourceAssigned,
    Retention,
    SnapshotKind,
    StateNoted,
)
from holdfast.service.context import Context
from holdfast.support.wording import STOPPED_BY_MAXLOOP

from services.statemachine import orders as giving
from services.statemachine.files import ModuleFiles
from services.statemachine.opening import Opened
from services.statemachine.rebooting import keep_loop, reboot, reboot_command
from services.statemachine.reserve import Reserve
from services.statemachine.resources import differing, resources_of
from services.statemachine.tracing import TransitionTracer

WAITING_EVENTS_MAX = 4096
"""More than this waiting means that somebody floods the bus; what is dropped is asked for again (`report.facts`)."""
FOLDED_MAX = 64
"""Events that share one commit: more than a transition has, few enough to take no longer than that commit."""
SNAPSHOT_EVENTS = 500
"""Events after which a state is saved: a restart folds at most this many, in about 100 ms."""
DISK = "node.disk"
"""A resource of every module: is there room on the disk with the journals? Known once there was none."""
BY_DISK = "statemachine"
TIMER_SLACK_S = 0.001
"""A timer that fires a hair early would find that its instant has not come."""
log = logging.getLogger("holdfast.statemachine")


@dataclass(frozen=True, kw_only=True)
class _Job:
    envelope: Envelope[object]
    done: asyncio.Future[State] | None = None


@dataclass(frozen=True, kw_only=True)
class _Folded:
    """One event and what it made of the state."""

    job: _Job
    envelope: Envelope[object]
    before: State
    decision: Decision

    @property
    def after(self) -> State:
        return self.decision.state


class ModuleRunner:
    """`state` is the newest state whose record is durable; it is replaced, never changed."""

    def __init__(self, context: Context, module: ModuleId, opened: Opened, reserve: Reserve) -> None:
        self.module = module
        self.state = opened.state
        self.journal = opened.journal
        self._journalled = opened.state
        """The state after the last event in the journal; ahead of `state` while its record is being written."""
        self.needs_report = False
        self._context = context
        self._reserve = reserve
        self._authority = opened.authority
        self._files = ModuleFiles(root=context.settings.module_dir(module))
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(WAITING_EVENTS_MAX)
        self._sent: dict[giving.Key, object] = {}
        self._resources: dict[str, tuple[str, str]] = {}
        self._loop_first = (0, 0)
        """The first action that loop protection counts: monotonic clock (ns), Unix time (s)."""
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._since_snapshot = 0
        self._told_room: bool | None = None
        self._moved = asyncio.Condition()
        self._tracer = TransitionTracer(context.telemetry, module)
        self._rebooting: asyncio.Task[None] | None = None
        self._is_loop_kept = True
        """Is what loop protection has counted on disk, as it has to be before a reboot?"""
        self._opening = ModuleOpened(incarnation=opened.incarnation)

    async def run(self) -> None:
        """Work until cancelled. Errors of the disk end it: what cannot be made durable must not be acted on."""
        await self._take(_Job(envelope=self._context.envelope(self.module, self._opening)))
        self.look_at_disk()
        while True:
            await self._take(await self._jobs.get())

    def submit(self, envelope: Envelope[object]) -> None:
        """Have an event decided on in its turn."""
        try:
            self._jobs.put_nowait(_Job(envelope=envelope))
        except asyncio.QueueFull:
            self.needs_report = True

    async def decide(self, payload: object, *, trace: str = "") -> State:
        """Have a fact of our own (a command, a setting) decided on; return the state right after it.

        trace: the traceparent of what asked for it.
        """
        done: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        envelope = self._context.envelope(self.module, payload, trace=trace)
        await self._jobs.put(_Job(envelope=envelope, done=done))
        state = await done
        name = BY_PAYLOAD[type(payload)].name
        subject = subjects.event(self._context.settings.cluster, self.module, self._context.settings.node, name)
        await self._context.bus.publish(subject, codec.encode(envelope))
        return state

    def look_at_disk(self) -> None:
        """Report that there is hardly any room left for what has to be recorded, or that there is again."""
        has_room = self._reserve.has_room
        known = self.state.resources.get(DISK)
        if has_room is not self._told_room and (known is not None or not has_room):
            value = UP if has_room else DOWN
            self.submit(self._context.envelope(self.module, ResourceReported(resource=DISK, value=value, by=BY_DISK)))
        self._told_room = has_room

    async def wait_stopped(self) -> None:
        """Return when the module has come to rest in STOP."""
        async with self._moved:
            await self._moved.wait_for(
                lambda: self.state.role is Role.STOP and self.state.is_idle and not self.state.wish
            )

    async def send_all(self) -> None:
        """Repeat every order: the bus was away, and what was sent meanwhile is lost."""
        await self._send(self._sent, cause="")

    async def send_to(self, service: str) -> None:
        """Repeat the orders of a service that has just started."""
        await self._send(giving.for_service(self._sent, service), cause="")

    def retain(self) -> None:
        """Keep the journal within its limits; a snapshot is made first, so that there is one to cut at."""
        self.save()
        self.journal.retain(Retention(), now_wall_ns=self._context.clock.wall_ns())

    def close(self) -> None:
        for timer in (self._timer, self._flush, self._rebooting):
            if timer is not None:
                timer.cancel()
        self.save()
        self.journal.close()
        self._authority.close()

    # -- events

    async def _take(self, first: _Job) -> None:
        """Decide on everything that waits, make it durable once, then give the orders that hold at the end.

        Nobody has seen what was wanted in between; orders are wanted conditions, so nobody misses it either.
        """
        told = self.state
        folded: list[_Folded] = []
        todo = deque([first])
        while todo:
            folded.append(self._fold(todo.popleft(), folded[-1].after if folded else told))
            absent = self._absent(folded[-1])
            if absent is not None:
                todo.appendleft(_Job(envelope=absent))
            elif not todo and len(folded) < FOLDED_MAX and not self._jobs.empty():
                todo.append(self._jobs.get_nowait())
        last = folded[-1]
        wanted = giving.addressed(last.after, last.decision.orders)
        fresh = giving.changed(self._sent, wanted)
        await self._make_durable(told, last.after, at_once=bool(fresh))
        self.state = last.after
        self._sent = wanted
        await self._send(fresh, cause=last.envelope.id)
        self._arm(last.decision.orders.wake_at_mono_ns)
        for each in folded:
            await self._follow(each)
        if self._since_snapshot >= SNAPSHOT_EVENTS:
            self.save()
        self.look_at_disk()

    def _fold(self, job: _Job, before: State) -> _Folded:
        envelope = self._tracer.contextualise(before, job.envelope)
        decision = step(before, envelope)
        self.journal.append(envelope, decision=decision.digest, durable=False)
        self._journalled = decision.state
        self._since_snapshot += 1
        self._project(before, decision.state, envelope)
        self._tracer.observe(before, decision.state, envelope, now_wall_ns=self._context.clock.wall_ns())
        return _Folded(job=job, envelope=envelope, before=before, decision=decision)

    def _absent(self, folded: _Folded) -> Envelope[object] | None:
        """A script that was decided on just now and that the module does not have is over at once.

        The scripts service would say the same; that takes two changes of process for each of the many scripts that
        most modules leave out, while clients wait.
        """
        run = folded.decision.orders.run
        if run is None or folded.after.running == folded.before.running or self._files.has_script(run.script):
            return None
        over = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=0.0, timed_out=False, log="")
        return self._context.envelope(self.module, over, cause=folded.envelope.id, trace=folded.after.trace)

    async def _make_durable(self, before: State, after: State, *, at_once: bool) -> None:
        """Journal first, then the authority record with full fsync; only then may orders leave."""
        is_new_record = after.authority != before.authority
        if after.settings.automatic_reboot and after.loop != before.loop:
            await asyncio.to_thread(self._keep_loop, after)
        if at_once or is_new_record:
            self._reserve.spend(self.journal.flush)
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(BATCH_MS_MAX / 1000, self._flush_now)
        if is_new_record:
            began_ns = self._context.clock.wall_ns()
            await asyncio.to_thread(self._reserve.spend, partial(self._authority.write, after.authority))
            self._tracer.record("authority record", start_wall_ns=began_ns, end_wall_ns=self._context.clock.wall_ns())

    def _keep_loop(self, state: State) -> None:
        clock = self._context.clock
        try:
            keep_loop(self._files.loop, state.loop, now_mono_ns=clock.mono_ns(), now_wall_ns=clock.wall_ns())
        except OSError as error:
            log.error("module %s: what loop protection has counted cannot be kept: %s", self.module, error)
            self._is_loop_kept = False
        else:
            self._is_loop_kept = True

    async def _reboot(self, why: str) -> None:
        """Reboot the node, or say why not; the module goes through its stopstart in any case."""
        command = reboot_command(self._context.settings)
        ordered = RebootOrdered(command=shlex.join(command), reason=why)
        problem = "" if self._is_loop_kept else "what loop protection has counted cannot be written to the disk"
        if not problem:
            await self.decide(ordered)
            problem = await reboot(command)
        if problem:
            log.error("module %s: the node could not be rebooted by %s: %s", self.module, ordered.command, problem)
            await self.decide(replace(ordered, problem=problem))

    async def _follow(self, folded: _Folded) -> None:
        """What is due once an event's outcome is durable and the orders have been given."""
        payload = folded.envelope.payload
        if isinstance(payload, ServiceStarted):
            await self.send_to(payload.service)
        await self._tell(folded.before, folded.after, folded.envelope)
        if folded.after.reboots > folded.before.reboots and (self._rebooting is None or self._rebooting.done()):
            why = folded.after.asked_by or folded.after.because or folded.after.reason
            self._rebooting = asyncio.get_running_loop().create_task(self._reboot(why))
        done = folded.job.done
        if done is not None and not done.done():
            done.set_result(folded.after)

    def _project(self, before: State, after: State, envelope: Envelope[object]) -> None:
        at_ns, cause = envelope.at_wall_ns, envelope.id
        resources = resources_of(after, loop_since_s=self._loop_since(after, envelope))
        said = envelope.payload
        if isinstance(said, ResourceReported) and resources.get(said.resource, (said.value,))[0] != said.value:
            # A transition that the report sets going may have its checker judged anew at once; it was reported still.
            self.journal.project(
                ResourceAssigned(resource=said.resource, value=said.value, by=said.by, wall_ns=at_ns, cause=cause)
            )
        for name, (value, by) in differing(self._resources, resources).items():
            self.journal.project(ResourceAssigned(resource=name, value=value, by=by, wall_ns=at_ns, cause=cause))
        self._resources = resources
        if (before.role, before.status) != (after.role, after.status):
            self.journal.project(
                StateNoted(
                    role=after.role,
                    status=after.status,
                    epoch=after.authority.epoch,
                    reason=_reason(after),
                    because=after.because,
                    wall_ns=at_ns,
                    cause=cause,
                )
            )
        if isinstance(envelope.payload, CommandRequested):
            command, refusal = envelope.payload, after.refusal
            self.journal.project(
                CommandNoted(
                    action=command.action,
                    argument=command.argument,
                    who=command.who or command.identity,
                    accepted=refusal is None,
                    reason=refusal.reason if refusal is not None else "",
                    wall_ns=at_ns,
                    cause=cause,
                )
            )

    def _loop_since(self, after: State, envelope: Envelope[object]) -> int:
        """When the first action that loop protection counts was taken, as Unix time; the same until it is another."""
        first_ns = next(iter(after.loop.taken_at_mono_ns), 0)
        if first_ns != self._loop_first[0]:
            wall_ns = envelope.at_wall_ns - envelope.at_mono_ns + first_ns
            self._loop_first = (first_ns, wall_ns // 1_000_000_000 if first_ns else 0)
        return self._loop_first[1]

    def _flush_now(self) -> None:
        self._flush = None
        try:
            self._reserve.spend(self.journal.flush)
            self.look_at_disk()
        except StorageError as error:
            # What waits is written with the next event, which ends this service if the disk still refuses it.
            log.error("%s", error)

    def save(self) -> None:
        """Save the state, so that a restart folds only what follows; raise StorageError when nothing can be written."""
        text, wall_ns = dump_snapshot(self._journalled), self._context.clock.wall_ns()
        self._reserve.spend(partial(self.journal.save, text, kind=SnapshotKind.SAVED, wall_ns=wall_ns))
        self._since_snapshot = 0

    async def _send(self, orders: dict[giving.Key, object], *, cause: str) -> None:
        cluster = self._context.settings.cluster
        for (service, _about), order in orders.items():
            name = BY_PAYLOAD[type(order)].name
            envelope = self._context.envelope(self.module, order, cause=cause, trace=self.state.trace)
            await self._context.bus.publish(subjects.order(cluster, self.module, service, name), codec.encode(envelope))

    async def _tell(self, before: State, after: State, envelope: Envelope[object]) -> None:
        """Publish what people want to see, and wake who waits for the state."""
        if (before.role, before.status) != (after.role, after.status):
            log.info("module %s is %s %s: %s", self.module, after.role, after.status, after.reason)
            fact = StateChanged(
                role=after.role,
                status=after.status,
                previous_role=before.role,
                previous_status=before.status,
                epoch=after.authority.epoch,
                reason=_reason(after),
                because=after.because,
            )
            await self._context.publish(self.module, fact, cause=envelope.id, trace=after.trace)
        if after.refusal is not None:
            refused = CommandRefused(action=after.refusal.action, reason=after.refusal.reason)
            await self._context.publish(self.module, refused, cause=envelope.id)
        async with self._moved:
            self._moved.notify_all()

    def _arm(self, wake_at_mono_ns: int | None) -> None:
        """Set the one timer: an instant of the monotonic clock, which is also the event loop's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if wake_at_mono_ns is None:
            return
        wait_s = max(0.0, (wake_at_mono_ns - self._context.clock.mono_ns()) / 1e9) + TIMER_SLACK_S
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.submit(self._context.envelope(self.module, TimerFired()))


def _reason(state: State) -> str:
    """Why a module is what it is; a stop by loop protection says so, because nobody asked for it."""
    if state.role is Role.STOP and state.stopped_by_maxloop:
        return f"{STOPPED_BY_MAXLOOP}: {state.reason}"
    return state.reason
