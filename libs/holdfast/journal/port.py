"""What the state machine needs of a journal: every input of decisions in order, saved states, views for readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from holdfast.errors import StorageError
from holdfast.events.envelope import Envelope

BATCH_ROWS_MAX = 256
"""Ordinary events are written together, at most this many …"""
BATCH_MS_MAX = 50
"""… and at most this long after they happened."""
READ_ROWS_MAX = 10_000
"""Rows that one query of a view returns at most."""


class SnapshotKind(StrEnum):
    """Why a state was saved."""

    OPENED = "opened"
    """Decisions begin here with this state, which does not follow from the events before (a node that has booted)."""
    SAVED = "saved"
    """The fold of all events up to here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One event as recorded. decision: digest of what the core made of it; hash: over this row and the one before."""

    sequence: int
    envelope: Envelope[object]
    decision: str
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A saved state (JSON text); it stands after the event `sequence` (0: before all)."""

    sequence: int
    kind: SnapshotKind
    state: str
    wall_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceAssigned:
    """A resource's value, the date of its last assignment, who assigned it, and the id of the event that caused it."""

    resource: str
    value: str
    by: str
    wall_ns: int
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StateNoted:
    """One entry of the timeline of states, with the reason in words."""

    role: str
    status: str
    epoch: int
    reason: str
    because: str
    wall_ns: int
    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandNoted:
    """One entry of the command log: who asked for what, and what became of it (reason: why refused, else empty)."""

    action: str
    argument: str
    who: str
    accepted: bool
    reason: str
    wall_ns: int
    cause: str


Projection = ResourceAssigned | StateNoted | CommandNoted


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How much is kept: both limits are upheld by removing the oldest events, up to a snapshot at the cut."""

    age_s_max: int = 30 * 24 * 3600
    rows_max: int = 200_000
    """About 100 MB at the usual 500 bytes an event."""
    history_rows_max: int = 50_000
    """Entries of each view's history."""


class JournalBrokenError(StorageError):
    """The journal is not what was written. sequence: the first event at which that shows."""

    def __init__(self, message: str, *, sequence: int) -> None:
        super().__init__(message, hint="restore the file, or set it aside; decisions up to that event can be trusted")
        self.sequence = sequence


class Journal(Protocol):
    """One module's journal. Not thread-safe; one writer. Every method raises StorageError when the disk fails."""

    def append(self, envelope: Envelope[object], *, decision: str, durable: bool) -> int:
        """Record an event; returns its sequence number. durable: a crash of this process cannot lose it any more."""

    def project(self, row: Projection) -> None:
        """Update a view; written together with the events."""

    def flush(self) -> None:
        """Write what waits."""

    def save(self, state: str, *, kind: SnapshotKind, wall_ns: int) -> None:
        """Save a state that stands after the last event."""

    def last_sequence(self) -> int:
        """Return the number of the newest event, 0 when there is none."""

    def snapshot(self, *, before: int | None = None) -> Snapshot | None:
        """Return the newest snapshot (of those that stand at or before event `before`), None when there is none."""

    def snapshots(self) -> Sequence[Snapshot]:
        """Return all snapshots, oldest first."""

    def read(self, *, after: int = 0, since_wall_ns: int = 0) -> Iterator[Record]:
        """Yield events after a sequence number, and not older than an instant, in order."""

    def verify(self) -> int:
        """Check every link of the hash chain; return the number of events, or raise JournalBrokenError."""

    def retain(self, retention: Retention, *, now_wall_ns: int) -> int:
        """Remove what is beyond the limits, up to the newest snapshot that allows it; return how many events went."""

    def checkpoint(self) -> None:
        """Bring the file in order in the background; may be called from another thread."""

    def resources(self) -> Sequence[ResourceAssigned]:
        """Return the present value of every resource, by name."""

    def resource_history(self, resource: str, *, limit: int = 100) -> Sequence[ResourceAssigned]:
        """Return the last values of a resource, newest first."""

    def states(self, *, limit: int = 100) -> Sequence[StateNoted]:
        """Return the timeline of states, newest first."""

    def commands(self, *, limit: int = 100) -> Sequence[CommandNoted]:
        """Return the command log, newest first."""

    def close(self) -> None:
        """Write what waits and let go of the file."""
