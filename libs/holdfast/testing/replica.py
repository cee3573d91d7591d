"""A model of a node's replication service, faithful to `holdfast.events.replication`: orders in, reports out.

A copy is a set of writes on disk. The change journal (`dirty`) holds what may differ from the other copy: it is noted
before a write is made, and cleared once both copies are known to have it. A resync by difference touches nothing else,
so a wrong base or a forgotten note shows as two copies in step that are not equal.
Lost in a node's crash: the connection, what was received and not applied, and, at random, unacknowledged local writes.
Kept when only the worker is killed: the stream's ring, hence the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Protocol

from holdfast.events.replication import ReplicateDirectories, ReplicationMode, ReplicationReported, Stance
from holdfast.ids import NO_SESSION, Epoch, Session
from holdfast.testing.scheduler import NS_PER_MS, Scheduler

COPIES_PER_TURN = 10
"""Entries that a resync copies per turn; how long a turn takes is chosen for each simulated world."""
DIAL_NS = 20 * NS_PER_MS


class Watcher(Protocol):
    """Who is told what replication did; the simulated world keeps the record of promises."""

    def acknowledged(self, node: int, write: int) -> None: ...

    def equalised(self, primary: Replica, secondary: Replica, expected: frozenset[int]) -> None: ...


class Replica:
    """One node's copy and its replication service. `peer` is set once both exist."""

    peer: Replica

    def __init__(
        self,
        node: int,
        scheduler: Scheduler,
        random: Random,
        watcher: Watcher,
        passes: Callable[[], bool],
        report: Callable[[ReplicationReported], None],
    ) -> None:
        self.node = node
        self._scheduler = scheduler
        self._random = random
        self._watcher = watcher
        self._passes = passes
        self._report = report
        self.content: set[int] = set()
        self.dirty: set[int] = set()
        self.quarantined: set[int] = set()
        self.is_up = False
        self.is_stalled = False
        self.copy_turn_ns = 5 * NS_PER_MS
        self.link = 0
        self._links = 0
        self._reset()

    def _reset(self) -> None:
        """A new life of the node's services: nothing is known but what is on disk."""
        self.order: ReplicateDirectories | None = None
        self.mode = ReplicationMode.OFF
        self.epoch = Epoch(0)
        self.writable = False
        self.applied_all = False
        self.pending: dict[int, None] = {}
        self.received: list[tuple[str, object]] = []
        self._wire: deque[tuple[str, object]] = deque()
        self.proposed = NO_SESSION
        self.session = NO_SESSION
        self.broken = NO_SESSION
        self.drained = NO_SESSION
        self.resync: list[int] | None = None
        self.link = 0
        self.last = None

    last: ReplicationReported | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._reset()
        self.is_up = True

    def crash(self) -> None:
        """The node dies: of unacknowledged local writes some have not reached the disk."""
        for write in self.pending:
            if self._random.random() < 0.5:
                self.content.discard(write)
        self.is_up = False
        self._drop_link(sudden=True)
        self._reset()

    def kill_worker(self) -> None:
        """Only the worker dies, and is back at once: the connection is new, everything else is as it was."""
        self._drop_link(sudden=False)
        self.received.clear()
        self._scheduler.after(30 * NS_PER_MS, self.dial)
        self._scheduler.after(30 * NS_PER_MS, self.report, True)

    # -- orders and reports ---------------------------------------------------------------------------------------

    def obey(self, order: ReplicateDirectories) -> None:
        """Compare the order with what is, act, and report."""
        if not self.is_up:
            return
        before, self.order = self.mode, order
        match order.mode:
            case ReplicationMode.OFF:
                self._turn_off()
            case ReplicationMode.SECONDARY:
                if before is not ReplicationMode.SECONDARY:
                    self._turn_off()
                    self.mode = ReplicationMode.SECONDARY
                    self.dial()
            case ReplicationMode.PRIMARY:
                self._be_primary(before, order)
        self.epoch = order.epoch
        self.report()

    def _turn_off(self) -> None:
        self._drop_link(sudden=False)
        self.mode = ReplicationMode.OFF
        self.writable = self.applied_all = False
        self.session = self.broken = self.drained = self.proposed = NO_SESSION
        self.pending.clear()
        self.received.clear()

    def _be_primary(self, before: ReplicationMode, order: ReplicateDirectories) -> None:
        if before is ReplicationMode.SECONDARY:
            self._drop_link(sudden=False)
            self.apply_all()
            self.session = NO_SESSION
            self.applied_all = True
        self.mode = ReplicationMode.PRIMARY
        match order.stance:
            case Stance.ALONE:
                self._be_alone()
            case Stance.IN_STEP:
                self._be_in_step(order.session)
            case Stance.DRAIN:
                self.writable = False
                self._check_drained()

    def _be_alone(self) -> None:
        if self.session != NO_SESSION:
            self._drop_link(sudden=False)
        self.session = self.broken = self.drained = NO_SESSION
        self.writable = True
        for write in list(self.pending):
            self._promise(write)
        if self.link == 0:
            self.dial()

    def _be_in_step(self, session: Session) -> None:
        self.writable = True
        if self.session == session:
            return
        self.session = session
        if self.link == 0 or self.proposed != session:
            self.broken = session
            self._drop_link(sudden=False)
            return
        self.proposed = NO_SESSION
        self._send("marker", (session, frozenset(self.content)))

    def report(self, again: bool = False) -> None:
        """Tell what now is, when it changed or when asked."""
        if not self.is_up or self.order is None:
            return
        is_primary = self.mode is ReplicationMode.PRIMARY
        fresh = ReplicationReported(
            mode=self.mode,
            epoch=self.epoch,
            mounted=self.mode is not ReplicationMode.OFF,
            writable=self.writable,
            connected=self.link != 0,
            proposed_session=self.proposed,
            in_step_session=NO_SESSION if is_primary and self.broken else self.session,
            broken_session=self.broken,
            drained_session=self.drained,
            applied_all=self.applied_all,
            resyncing=self.resync is not None,
            quarantined_files=len(self.quarantined),
        )
        if again or fresh != self.last:
            self.last = fresh
            self._report(fresh)

    # -- the connection -------------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Try to have a connection with the peer; tried again until there is one or nobody wants it."""
        if not self.is_up or self.link or self.mode is ReplicationMode.OFF:
            return
        primary, secondary = (self, self.peer) if self.mode is ReplicationMode.PRIMARY else (self.peer, self)
        can = self.peer.is_up and not self.is_stalled and not self.peer.is_stalled and self._passes()
        if not can or primary.mode is not ReplicationMode.PRIMARY or secondary.mode is not ReplicationMode.SECONDARY:
            self._scheduler.after(DIAL_NS, self._dial_again, self.mode)
            return
        primary.accept(secondary)
        if self.link == 0:
            self._scheduler.after(DIAL_NS, self._dial_again, self.mode)

    def _dial_again(self, mode: ReplicationMode) -> None:
        if self.mode is mode and mode is ReplicationMode.SECONDARY:
            self.dial()

    def accept(self, secondary: Replica) -> None:
        """The primary's side of a new connection: resume the session, or begin a resync, or refuse."""
        assert self.order is not None, "a primary has an order"
        assert secondary.order is not None, "a secondary has an order"
        if self.link or secondary.link or self.epoch < secondary.order.fence_epoch:
            return
        if self.session != NO_SESSION:
            if secondary.session != self.session:
                return
            self._connect(secondary)
            self.broken = NO_SESSION
            for write in self.pending:
                self._send("write", write)
            self._check_drained()
        elif self.order.stance is Stance.ALONE:
            self._connect(secondary)
            self._begin_resync(secondary)
        self.report()
        secondary.report()

    def _connect(self, secondary: Replica) -> None:
        self._links += 1
        self.link = secondary.link = self._links * 2 + self.node + 1
        secondary.received.clear()
        secondary._wire.clear()
        self._wire.clear()

    def _begin_resync(self, secondary: Replica) -> None:
        assert self.order is not None, "a primary has an order"
        assert secondary.order is not None, "a secondary has an order"
        secondary.session = NO_SESSION
        full = self.order.full or secondary.order.full or not self.order.base or not secondary.order.base
        differing = self.content | secondary.content if full else self.dirty | secondary.dirty
        if secondary.order.quarantine:
            secondary.quarantined |= differing & (secondary.content - self.content)
        self.resync = sorted(differing)
        self._scheduler.after(self.copy_turn_ns, self._copy, self.link)

    def _copy(self, link: int) -> None:
        if self.link != link or self.resync is None:
            return
        turn, self.resync = self.resync[:COPIES_PER_TURN], self.resync[COPIES_PER_TURN:]
        for write in turn:
            self._send("copy", (write, write in self.content))
        if not self.resync:
            self.resync = None
            self._propose(link)
        else:
            self._scheduler.after(self.copy_turn_ns, self._copy, link)

    def _propose(self, link: int) -> None:
        """Nothing is left to copy: propose to be in step from the next marker on."""
        self.proposed = Session(f"s{self.node}-{link}-{self._random.getrandbits(32):08x}")
        self.report()

    def _drop_link(self, *, sudden: bool) -> None:
        """End the connection. Sudden: the other side learns of it only when its own timeout is over."""
        if self.link == 0:
            return
        link, self.link = self.link, 0
        self._lost_link()
        delay = int(self._random.uniform(100, 900)) * NS_PER_MS if sudden else NS_PER_MS
        self._scheduler.after(delay, self.peer.link_ended, link)

    def link_ended(self, link: int) -> None:
        """The connection is seen to be gone."""
        if self.link != link or not self.is_up:
            return
        self.link = 0
        self._lost_link()
        self.report()

    def _lost_link(self) -> None:
        self.resync = None
        self.proposed = NO_SESSION
        if self.mode is ReplicationMode.PRIMARY and self.session != NO_SESSION:
            self.broken = self.session
        if self.mode is ReplicationMode.SECONDARY:
            self._scheduler.after(DIAL_NS, self._dial_again, self.mode)

    def network_changed(self) -> None:
        """A cut makes the connection stall; both sides give it up after their timeouts."""
        if self.link and not self._passes():
            self._scheduler.after(int(self._random.uniform(100, 900)) * NS_PER_MS, self._give_up, self.link)

    def _give_up(self, link: int) -> None:
        if self.link == link and not self._passes() and self.is_up:
            self._drop_link(sudden=True)
            self.report()

    def _send(self, kind: str, value: object) -> None:
        delay = int(self._random.uniform(0.1, 1.0) * NS_PER_MS)
        self._clear_ns = max(self._clear_ns + 1, self._scheduler.now_ns + delay)
        self._scheduler.after(self._clear_ns - self._scheduler.now_ns, self.peer.arrived, self.link, kind, value)

    _clear_ns = 0

    def arrived(self, link: int, kind: str, value: object) -> None:
        """Something of the stream or an acknowledgement arrives, if the connection still stands."""
        if self.link == link and self.is_up:
            self._wire.append((kind, value))
            self._take(link)

    def _take(self, link: int) -> None:
        """Take what has arrived, in order; a stalled node or a cut network leaves it where it is."""
        while self.link == link and self.is_up and self._wire:
            if self.is_stalled or not self._passes():
                self._scheduler.after(10 * NS_PER_MS, self._take, link)
                return
            kind, value = self._wire.popleft()
            if kind == "acknowledged":
                self._peer_has(value)
            else:
                self.received.append((kind, value))
                self._scheduler.after(int(self._random.uniform(0.1, 1.5) * NS_PER_MS), self._work, link)

    def _work(self, link: int) -> None:
        """Apply the next thing received, durably, then acknowledge it."""
        if self.link != link or not self.received or self.mode is not ReplicationMode.SECONDARY:
            return
        kind, value = self.received.pop(0)
        self._apply(kind, value)
        self._send("acknowledged", (kind, value))

    def apply_all(self) -> None:
        """Apply everything received, before taking over."""
        for kind, value in self.received:
            self._apply(kind, value)
        self.received.clear()

    def _apply(self, kind: str, value: object) -> None:
        match kind, value:
            case "write", int(write):
                if self.session == NO_SESSION:
                    self.dirty.add(write)
                self.content.add(write)
            case "copy", (int(write), bool(there)):
                self.dirty.add(write)
                (self.content.add if there else self.content.discard)(write)
            case "marker", (str(session), frozenset() as expected):
                self._watcher.equalised(self.peer, self, expected)
                self.session = Session(session)
                self.dirty.clear()
                self.report()

    def _peer_has(self, value: object) -> None:
        match value:
            case "write", int(write):
                if self.session != NO_SESSION:
                    self.dirty.discard(write)
                if write in self.pending:
                    self._promise(write)
            case "marker", _:
                self.dirty = set(self.pending)
        self._check_drained()

    # -- applications ---------------------------------------------------------------------------------------------

    def write(self, write: int) -> bool:
        """An application writes and waits for the promise; False when the directories are not writable."""
        if not self.writable or self.mode is not ReplicationMode.PRIMARY or not self.is_up:
            return False
        self.dirty.add(write)
        self.content.add(write)
        self.pending[write] = None
        if self.link:
            self._send("write", write)
        if self.session == NO_SESSION:
            self._promise(write)
        return True

    def _promise(self, write: int) -> None:
        self.pending.pop(write, None)
        self._watcher.acknowledged(self.node, write)

    def _check_drained(self) -> None:
        order = self.order
        if order is None or order.mode is not ReplicationMode.PRIMARY or order.stance is not Stance.DRAIN:
            return
        if self.link and self.session == order.session and not self.pending and self.drained != order.session:
            self.drained = order.session
            self.report()

    @property
    def may_promise(self) -> bool:
        """Could an application be given a promise now without the peer?"""
        return self.is_up and self.mode is ReplicationMode.PRIMARY and self.writable and self.session == NO_SESSION
