"""The journal in memory: for tests and simulation, held to the same contract as the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.events.envelope import Envelope
from holdfast.journal import chain
from holdfast.journal.port import (
    CommandNoted,
    JournalBrokenError,
    Projection,
    Record,
    ResourceAssigned,
    Retention,
    Snapshot,
    SnapshotKind,
    StateNoted,
)


class MemoryJournal:
    """See `holdfast.journal.port.Journal`."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._snapshots: list[Snapshot] = []
        self._views: list[Projection] = []
        self._first_previous = (0, chain.GENESIS)
        self._last = (0, chain.GENESIS)

    def append(self, envelope: Envelope[object], *, decision: str, durable: bool) -> int:
        del durable
        sequence = self._last[0] + 1
        self._last = (sequence, chain.link(self._last[1], sequence, chain.row(envelope, decision)))
        self._records.append(Record(sequence=sequence, envelope=envelope, decision=decision, hash=self._last[1]))
        return sequence

    def project(self, row: Projection) -> None:
        self._views.append(row)

    def flush(self) -> None:
        """Nothing waits."""

    def save(self, state: str, *, kind: SnapshotKind, wall_ns: int) -> None:
        self._snapshots.append(Snapshot(sequence=self._last[0], kind=kind, state=state, wall_ns=wall_ns))

    def last_sequence(self) -> int:
        return self._last[0]

    def snapshot(self, *, before: int | None = None) -> Snapshot | None:
        found = [saved for saved in self._snapshots if before is None or saved.sequence <= before]
        return found[-1] if found else None

    def snapshots(self) -> Sequence[Snapshot]:
        return list(self._snapshots)

    def read(self, *, after: int = 0, since_wall_ns: int = 0) -> Iterator[Record]:
        for record in list(self._records):
            if record.sequence > after and record.envelope.at_wall_ns >= since_wall_ns:
                yield record

    def verify(self) -> int:
        sequence, previous = self._first_previous
        for record in self._records:
            sequence += 1
            previous = chain.link(previous, sequence, chain.row(record.envelope, record.decision))
            if record.sequence != sequence or record.hash != previous:
                raise JournalBrokenError(f"event {sequence} is not what was recorded", sequence=sequence)
        return len(self._records)

    def retain(self, retention: Retention, *, now_wall_ns: int) -> int:
        oldest_ns = now_wall_ns - retention.age_s_max * 1_000_000_000
        aged = [record.sequence for record in self._records if record.envelope.at_wall_ns < oldest_ns]
        beyond = max(max(aged, default=0), self._last[0] - retention.rows_max)
        saved = self.snapshot(before=beyond)
        if saved is None or not any(record.sequence == saved.sequence for record in self._records):
            return 0
        gone = [record for record in self._records if record.sequence <= saved.sequence]
        self._first_previous = (gone[-1].sequence, gone[-1].hash)
        self._records = self._records[len(gone) :]
        self._snapshots = [other for other in self._snapshots if other.sequence >= saved.sequence]
        return len(gone)

    def checkpoint(self) -> None:
        """Nothing to bring in order."""

    def resources(self) -> Sequence[ResourceAssigned]:
        latest = {view.resource: view for view in self._views if isinstance(view, ResourceAssigned)}
        return [latest[name] for name in sorted(latest)]

    def resource_history(self, resource: str, *, limit: int = 100) -> Sequence[ResourceAssigned]:
        changes: list[ResourceAssigned] = []
        for view in self._views:
            is_other = not isinstance(view, ResourceAssigned) or view.resource != resource
            if isinstance(view, ResourceAssigned) and not is_other and (not changes or changes[-1].value != view.value):
                changes.append(view)
        return changes[::-1][:limit]

    def states(self, *, limit: int = 100) -> Sequence[StateNoted]:
        return [view for view in reversed(self._views) if isinstance(view, StateNoted)][:limit]

    def commands(self, *, limit: int = 100) -> Sequence[CommandNoted]:
        return [view for view in reversed(self._views) if isinstance(view, CommandNoted)][:limit]

    def close(self) -> None:
        """Nothing is held."""
