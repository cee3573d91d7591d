"""Runs one module: takes events one after the other, records, decides, makes durable, then gives orders."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from holdfast.bus import subjects
from holdfast.core.state import State
from holdfast.errors import StorageError
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import Envelope
from holdfast.events.module import (
    CommandRefused,
    CommandRequested,
    ModuleOpened,
    ServiceStarted,
    StateChanged,
    TimerFired,
)
from holdfast.events.state import Role
from holdfast.history.decider import Decision, dump_state, step
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

from services.statemachine import orders as giving
from services.statemachine.opening import Opened
from services.statemachine.reserve import Reserve
from services.statemachine.resources import differing, resources_of
from services.statemachine.tracing import TransitionTracer

WAITING_EVENTS_MAX = 4096
"""More than this waiting means that somebody floods the bus; what is dropped is asked for again (`report.facts`)."""
SNAPSHOT_EVENTS = 500
"""Events after which a state is saved: a restart folds at most this many, in about 100 ms."""
TIMER_SLACK_S = 0.001
"""A timer that fires a hair early would find that its instant has not come."""
log = logging.getLogger("holdfast.statemachine")


@dataclass(frozen=True, kw_only=True)
class _Job:
    envelope: Envelope[object]
    done: asyncio.Future[State] | None = None


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
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(WAITING_EVENTS_MAX)
        self._sent: dict[giving.Key, object] = {}
        self._resources: dict[str, tuple[str, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._since_snapshot = 0
        self._moved = asyncio.Condition()
        self._tracer = TransitionTracer(context.telemetry, module)
        self._opening = ModuleOpened(incarnation=opened.incarnation)

    async def run(self) -> None:
        """Work until cancelled. Errors of the disk end it: what cannot be made durable must not be acted on."""
        await self._take(_Job(envelope=self._context.envelope(self.module, self._opening)))
        while True:
            await self._take(await self._jobs.get())

    def submit(self, envelope: Envelope[object]) -> None:
        """Have an event decided on in its turn."""
        try:
            self._jobs.put_nowait(_Job(envelope=envelope))
        except asyncio.QueueFull:
            self.needs_report = True

    async def decide(self, payload: object) -> State:
        """Have a fact of our own (a command, a setting) decided on; return the state right after it."""
        done: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        envelope = self._context.envelope(self.module, payload)
        await self._jobs.put(_Job(envelope=envelope, done=done))
        state = await done
        name = BY_PAYLOAD[type(payload)].name
        subject = subjects.event(self._context.settings.cluster, self.module, self._context.settings.node, name)
        await self._context.bus.publish(subject, codec.encode(envelope))
        return state

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
        self._save()
        self.journal.retain(Retention(), now_wall_ns=self._context.clock.wall_ns())

    def close(self) -> None:
        for timer in (self._timer, self._flush):
            if timer is not None:
                timer.cancel()
        self._save()
        self.journal.close()
        self._authority.close()

    # -- one event

    async def _take(self, job: _Job) -> None:
        before = self.state
        envelope = self._tracer.contextualise(before, job.envelope)
        decision = step(before, envelope)
        wanted = giving.addressed(decision.state, decision.orders)
        fresh = giving.changed(self._sent, wanted)
        await self._record(before, envelope, decision, at_once=bool(fresh))
        self.state = decision.state
        self._sent = wanted
        await self._send(fresh, cause=envelope.id)
        if isinstance(envelope.payload, ServiceStarted):
            await self.send_to(envelope.payload.service)
        self._tracer.observe(before, decision.state, envelope, now_wall_ns=self._context.clock.wall_ns())
        self._arm(decision.orders.wake_at_mono_ns)
        await self._tell(before, decision.state, envelope)
        if job.done is not None and not job.done.done():
            job.done.set_result(decision.state)

    async def _record(self, before: State, envelope: Envelope[object], decision: Decision, *, at_once: bool) -> None:
        """Journal first, then the authority record with full fsync; only then may orders leave."""
        after = decision.state
        is_new_record = after.authority != before.authority
        self.journal.append(envelope, decision=decision.digest, durable=False)
        self._journalled = after
        self._project(before, after, envelope)
        if at_once or is_new_record:
            self._reserve.spend(self.journal.flush)
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(BATCH_MS_MAX / 1000, self._flush_now)
        if is_new_record:
            began_ns = self._context.clock.wall_ns()
            await asyncio.to_thread(self._reserve.spend, partial(self._authority.write, after.authority))
            self._tracer.record("authority record", start_wall_ns=began_ns, end_wall_ns=self._context.clock.wall_ns())
        self._since_snapshot += 1
        if self._since_snapshot >= SNAPSHOT_EVENTS:
            self._save()

    def _project(self, before: State, after: State, envelope: Envelope[object]) -> None:
        at_ns, cause = envelope.at_wall_ns, envelope.id
        resources = resources_of(after)
        for name, (value, by) in differing(self._resources, resources).items():
            self.journal.project(ResourceAssigned(resource=name, value=value, by=by, wall_ns=at_ns, cause=cause))
        self._resources = resources
        if (before.role, before.status) != (after.role, after.status):
            self.journal.project(
                StateNoted(
                    role=after.role,
                    status=after.status,
                    epoch=after.authority.epoch,
                    reason=after.reason,
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

    def _flush_now(self) -> None:
        self._flush = None
        try:
            self._reserve.spend(self.journal.flush)
        except StorageError as error:
            # What waits is written with the next event, which ends this service if the disk still refuses it.
            log.error("%s", error)

    def _save(self) -> None:
        text, wall_ns = dump_state(self._journalled), self._context.clock.wall_ns()
        self._reserve.spend(partial(self.journal.save, text, kind=SnapshotKind.SAVED, wall_ns=wall_ns))
        self._since_snapshot = 0

    async def _send(self, orders: dict[giving.Key, object], *, cause: str) -> None:
        cluster = self._context.settings.cluster
        for (service, name), order in orders.items():
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
                reason=after.reason,
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
