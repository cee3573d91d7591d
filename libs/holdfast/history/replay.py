"""Runs the shipped core over a recorded journal: every recorded decision has to come out again."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.state import State
from holdfast.errors import ConfigError, HoldfastError, StorageError
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.history.decider import dump_state, step
from holdfast.history.snapshots import beginning, load_snapshot
from holdfast.journal.port import Journal, JournalBrokenError, Record, Snapshot, SnapshotKind

DIFFERENCES_MAX = 20
"""After the first difference everything that follows differs too; more would only be noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One event at which the replay came to something else than what was recorded."""

    sequence: int
    event: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """One change of role or status that the replay went through, with its reason in words."""

    sequence: int
    wall_ns: int
    role: str
    status: str
    epoch: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayReport:
    """events: read and found unaltered; decisions: compared; broken: where the journal breaks, in words, or empty."""

    events: int
    decisions: int
    differences: tuple[Difference, ...]
    transitions: tuple[Transition, ...]
    broken: str = ""
    broken_at: int = 0

    @property
    def is_same(self) -> bool:
        return not self.differences and not self.broken


def replay(journal: Journal, *, since_wall_ns: int = 0) -> ReplayReport:
    """Fold the journal from its first snapshot on; decisions before `since_wall_ns` are made but not reported."""
    broken, broken_at = "", 0
    try:
        journal.verify()
    except JournalBrokenError as error:
        broken, broken_at = error.message, error.sequence
    run = _Run(journal, since_wall_ns)
    try:
        for record in journal.read():
            if broken_at and record.sequence >= broken_at:
                break
            run.take(record)
    except JournalBrokenError as error:
        broken, broken_at = error.message, error.sequence
    return ReplayReport(
        events=run.events,
        decisions=run.decisions,
        differences=tuple(run.differences),
        transitions=tuple(run.transitions),
        broken=broken,
        broken_at=broken_at,
    )


class _Run:
    """The state so far, and what has been found."""

    def __init__(self, journal: Journal, since_wall_ns: int) -> None:
        self.events = 0
        self.decisions = 0
        self.differences: list[Difference] = []
        self.transitions: list[Transition] = []
        self._journal = journal
        self._snapshots: list[Snapshot] = list(journal.snapshots())
        self._since_wall_ns = since_wall_ns
        self._state: State | None = None

    def take(self, record: Record) -> None:
        """Decide on one event and compare."""
        self.events += 1
        self._adopt(record)
        before = self._state
        if before is None:
            return
        try:
            decision = step(before, record.envelope)
        except HoldfastError as error:
            self._differ(record, f"the core refuses it now: {error}")
            return
        after = decision.state
        self._state = after
        if record.envelope.at_wall_ns < self._since_wall_ns:
            return
        self.decisions += 1
        if decision.digest != record.decision:
            found = f"{after.role} {after.status}, decision {decision.digest}"
            self._differ(record, f"{found} instead of {record.decision}")
        if (before.role, before.status) != (after.role, after.status):
            self.transitions.append(
                Transition(
                    sequence=record.sequence,
                    wall_ns=record.envelope.at_wall_ns,
                    role=after.role,
                    status=after.status,
                    epoch=after.authority.epoch,
                    reason=after.reason,
                )
            )

    def _adopt(self, record: Record) -> None:
        """Take over the snapshots that stand before this event: a new beginning as it is, a saved one to compare."""
        while self._snapshots and self._snapshots[0].sequence < record.sequence:
            saved = self._snapshots.pop(0)
            state = self._saved(record, saved)
            if self._state is None or saved.kind is SnapshotKind.OPENED:
                self._state = state
            elif state is not None and dump_state(self._state) != dump_state(state):
                self._differ(record, f"the state saved before it (after event {saved.sequence}) is another")
                self._state = state

    def _saved(self, record: Record, saved: Snapshot) -> State | None:
        """The state in a snapshot; one at a beginning that cannot be read is made again; None when nothing helps."""
        try:
            return load_snapshot(saved.state)
        except StorageError as error:
            self._differ(record, f"the state saved before it (after event {saved.sequence}) cannot be read: {error}")
        if saved.kind is not SnapshotKind.OPENED:
            return None
        try:
            return beginning(self._journal, saved, module=record.envelope.module, node=record.envelope.node)
        except (StorageError, ConfigError):
            return None

    def _differ(self, record: Record, what: str) -> None:
        if len(self.differences) < DIFFERENCES_MAX:
            name = BY_PAYLOAD[type(record.envelope.payload)].name
            self.differences.append(Difference(sequence=record.sequence, event=name, what=what))
