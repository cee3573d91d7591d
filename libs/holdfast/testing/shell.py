"""The simulated state machine service: the shipped core behind a queue, a journal and a durable record.

It keeps the duties that `holdfast.core` states: journal, evolve, record durably, then orders. Between `evolve` and the
end of the write of the record the node may crash: then neither the record nor any order of it was ever there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from holdfast.core import AuthorityRecord, ModuleSettings, Orders, State, decide, evolve, initial
from holdfast.errors import InvariantError
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.module import CommandRequested, ModuleOpened, ServiceStarted, TimerFired
from holdfast.testing.scheduler import NS_PER_MS, Scheduler

HANDLING_NS = NS_PER_MS // 5
RECORDING_NS_MIN = NS_PER_MS
RECORDING_NS_MAX = 8 * NS_PER_MS
WALL_NS = 1_800_000_000_000_000_000
"""Unix time at which every simulation begins; clocks agree but for what a simulation does to them."""
RESTART_NS = 60 * NS_PER_MS
JOURNAL_REPLAYED_MAX = 2_000
"""Events replayed when the service was killed; a longer journal is resumed from its state instead."""

Obey = Callable[[Orders], None]
Watch = Callable[[State, State], None]
_HYBRID = HybridTime(wall_ms=0, counter=0)


class Shell:
    """One module's state machine on one node. obey: carries out orders. watch: sees every change of state."""

    def __init__(
        self,
        settings: ModuleSettings,
        scheduler: Scheduler,
        random: Random,
        clock: Callable[[], int],
        obey: Obey,
        watch: Watch,
        ask_all: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.record = AuthorityRecord()
        self.state = initial(settings, self.record)
        self.is_up = False
        self.is_stalled = False
        self.refusals: list[str] = []
        self.wall_offset_ns = 0
        self._scheduler = scheduler
        self._random = random
        self._clock = clock
        self._obey = obey
        self._watch = watch
        self._ask_all = ask_all
        self._inbox: deque[object] = deque()
        self._is_busy = False
        self._life = 0
        self._events = 0
        self._wake_ns: int | None = None
        self._origin = self.state
        self._journal: list[Envelope[object]] = []

    # -- life -----------------------------------------------------------------------------------------------------

    def boot(self, incarnation: int) -> None:
        """The node has started: from the durable record alone."""
        self._live()
        self.state = self._origin = initial(self.settings, self.record)
        self._journal = []
        self.feed(ModuleOpened(incarnation=incarnation))
        self._ask_all()

    def kill(self) -> None:
        """The service is killed; it resumes from its journal."""
        if not self.is_up:
            return
        self.is_up = False
        self._life += 1
        self._scheduler.after(RESTART_NS, self._resume, self._life)

    def crash(self) -> None:
        """The whole node is gone."""
        self.is_up = False
        self._life += 1
        self._inbox.clear()

    def _live(self) -> None:
        self._life += 1
        self.is_up = True
        self._inbox.clear()
        self._is_busy = False
        self._wake_ns = None

    def _resume(self, life: int) -> None:
        if self._life != life:
            return
        self._live()
        if len(self._journal) <= JOURNAL_REPLAYED_MAX:
            replayed = self._origin
            for envelope in self._journal:
                replayed = evolve(replayed, envelope)
            if replayed != self.state:
                raise InvariantError("replaying the journal gives another state")
        self._origin, self._journal = self.state, []
        self._record_and_order(self._life, self.state)
        self._ask_all()

    # -- work -----------------------------------------------------------------------------------------------------

    def feed(self, payload: object) -> None:
        """Something was published on the bus; lost when the service is not there."""
        if not self.is_up:
            return
        self._inbox.append(payload)
        if not self._is_busy and not self.is_stalled:
            self._is_busy = True
            self._scheduler.after(HANDLING_NS, self._handle, self._life)

    def resume_stall(self) -> None:
        self.is_stalled = False
        if self.is_up and self._inbox and not self._is_busy:
            self._is_busy = True
            self._scheduler.after(HANDLING_NS, self._handle, self._life)

    def _handle(self, life: int) -> None:
        if self._life != life:
            return
        if self.is_stalled or not self._inbox:
            self._is_busy = False
            return
        payload = self._inbox.popleft()
        if isinstance(payload, ServiceStarted):
            self._record_and_order(life, self.state)
            return
        before = self.state
        envelope = self._envelope(payload)
        self._journal.append(envelope)
        after = evolve(before, envelope)
        if after.refusal is not None and isinstance(payload, CommandRequested):
            self.refusals.append(after.refusal.reason)
        self.state = after
        if after.authority != self.record:
            delay = self._random.randrange(RECORDING_NS_MIN, RECORDING_NS_MAX)
            self._scheduler.after(delay, self._record_and_order, life, after, before)
        else:
            self._order(life, after, before)

    def _record_and_order(self, life: int, after: State, before: State | None = None) -> None:
        if self._life == life:
            self.record = after.authority
            self._order(life, after, before)

    def _order(self, life: int, after: State, before: State | None) -> None:
        orders = decide(after)
        self._obey(orders)
        if before is not None:
            self._watch(before, after)
        self._arm(orders.wake_at_mono_ns)
        if self._inbox:
            self._scheduler.after(HANDLING_NS, self._handle, life)
            self._is_busy = True
        else:
            self._is_busy = False

    def _envelope(self, payload: object) -> Envelope[object]:
        self._events += 1
        now = self._clock()
        return Envelope(
            id=f"{self.settings.node}-{self._events}",
            module=self.settings.module,
            node=self.settings.node,
            source="simulation",
            at_wall_ns=WALL_NS + self._scheduler.now_ns + self.wall_offset_ns,
            at_mono_ns=now,
            hybrid=_HYBRID,
            cause="",
            trace="",
            payload=payload,
        )

    def _arm(self, wake_ns: int | None) -> None:
        if wake_ns is None or wake_ns == self._wake_ns:
            self._wake_ns = wake_ns
            return
        self._wake_ns = wake_ns
        self._scheduler.after(max(wake_ns - self._clock(), 0) + NS_PER_MS, self._wake, self._life, wake_ns)

    def _wake(self, life: int, wake_ns: int) -> None:
        if self._life == life and self._wake_ns == wake_ns:
            self._wake_ns = None
            self.feed(TimerFired())
