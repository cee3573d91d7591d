"""The journal in a SQLite file. See `holdfast.journal.port.Journal` for the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, Table, delete, func, insert, select, update
from sqlalchemy.engine import Connection, Engine

from holdfast.errors import PeerError, StorageError
from holdfast.events.envelope import Envelope
from holdfast.journal import chain
from holdfast.journal.database import open_engine, prepare_file, storage
from holdfast.journal.port import (
    BATCH_ROWS_MAX,
    READ_ROWS_MAX,
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
from holdfast.journal.statements import Prepared, inserting, replacing, updating
from holdfast.journal.tables import (
    COMMANDS,
    EVENTS,
    HEAD,
    HISTORIES,
    METADATA,
    RESOURCE_HISTORY,
    RESOURCES,
    SNAPSHOTS,
    STATES,
)

CHUNK_ROWS = 500
"""Rows fetched at a time, so that a long journal is never whole in memory."""
ADD_EVENT = inserting(EVENTS)
SET_HEAD = updating(HEAD, ("last", "last_hash"))
SET_RESOURCE = replacing(RESOURCES)
ADD_RESOURCE = inserting(RESOURCE_HISTORY)
ADD_STATE = inserting(STATES)
ADD_COMMAND = inserting(COMMANDS)


class SqlJournal:
    """Ordinary events are committed in batches without waiting for the disk: a crash of the machine may lose the last
    of them, a crash of this process only those of the running batch. What must survive is in the authority record."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create; raises StorageError (also for a file that is no database)."""
        self._path = path
        self._events: list[dict[str, chain.Value]] = []
        self._views: list[Projection] = []
        self._values: dict[str, str] | None = None
        """What is in the table of resources, once it has been read."""
        with storage(path, "open the journal"):
            if not read_only:
                prepare_file(path, _create)
            self._engine = open_engine(path, synchronous="NORMAL", read_only=read_only, checkpoints=False)
            with self._engine.connect() as connection:
                row = connection.execute(select(HEAD)).mappings().one_or_none()
        if row is None:
            raise StorageError(f"{path}: the journal has lost its head")
        self._last, self._last_hash = int(row["last"]), str(row["last_hash"])

    def append(self, envelope: Envelope[object], *, decision: str, durable: bool) -> int:
        columns = chain.row(envelope, decision)
        self._last += 1
        self._last_hash = chain.link(self._last_hash, self._last, columns)
        self._events.append({"sequence": self._last, "hash": self._last_hash, **columns})
        if durable or len(self._events) >= BATCH_ROWS_MAX:
            self.flush()
        return self._last

    def project(self, row: Projection) -> None:
        self._views.append(row)

    def flush(self) -> None:
        if not self._events and not self._views:
            return
        with storage(self._path, "write the journal"), self._engine.begin() as connection:
            values = self._write(connection)
        self._written(values)

    def save(self, state: str, *, kind: SnapshotKind, wall_ns: int) -> None:
        row = {"sequence": self._last, "kind": str(kind), "state": state, "wall_ns": wall_ns}
        with storage(self._path, "save a snapshot"), self._engine.begin() as connection:
            values = self._write(connection)
            connection.execute(insert(SNAPSHOTS), [row])
        self._written(values)

    def last_sequence(self) -> int:
        return self._last

    def snapshot(self, *, before: int | None = None) -> Snapshot | None:
        query = select(SNAPSHOTS).order_by(SNAPSHOTS.c.number.desc()).limit(1)
        if before is not None:
            query = query.where(SNAPSHOTS.c.sequence <= before)
        found = self._rows(query)
        return _snapshot(found[0]) if found else None

    def snapshots(self) -> Sequence[Snapshot]:
        return [_snapshot(row) for row in self._rows(select(SNAPSHOTS).order_by(SNAPSHOTS.c.number))]

    def read(self, *, after: int = 0, since_wall_ns: int = 0) -> Iterator[Record]:
        self.flush()
        for row in self._chunks(after):
            if int(row["wall_ns"]) >= since_wall_ns:
                yield self._record(row)

    def verify(self) -> int:
        self.flush()
        head = self._rows(select(HEAD))[0]
        sequence, previous = int(head["first_previous"]), str(head["first_previous_hash"])
        last = int(head["last"])
        count = 0
        for row in self._chunks(sequence):
            if sequence == last:
                break  # What follows has been recorded since the head was read.
            sequence += 1
            if int(row["sequence"]) != sequence:
                raise JournalBrokenError(f"{self._path}: event {sequence} is missing", sequence=sequence)
            self._record(row)
            previous = chain.link(previous, sequence, dict(row))
            if previous != row["hash"]:
                name = f"event {sequence} ({row['type']}, {row['id']})"
                raise JournalBrokenError(f"{self._path}: {name} is not what was recorded", sequence=sequence)
            count += 1
        if sequence != last or previous != head["last_hash"]:
            text = f"{self._path}: ends with event {sequence}, but {last} were recorded"
            raise JournalBrokenError(text, sequence=sequence + 1)
        return count

    def retain(self, retention: Retention, *, now_wall_ns: int) -> int:
        self.flush()
        with storage(self._path, "remove old events"), self._engine.begin() as connection:
            for table in HISTORIES:
                newest = connection.execute(select(func.max(table.c.number))).scalar() or 0
                connection.execute(delete(table).where(table.c.number <= newest - retention.history_rows_max))
            return self._cut(connection, self._last_beyond(connection, retention, now_wall_ns))

    def checkpoint(self) -> None:
        # A connection of its own: moving pages from the log into the file waits for the disk, and writers need not.
        with storage(self._path, "checkpoint the journal"), closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def resources(self) -> Sequence[ResourceAssigned]:
        self.flush()
        rows = self._rows(select(RESOURCES).order_by(RESOURCES.c.resource).limit(READ_ROWS_MAX))
        return [ResourceAssigned(**row) for row in rows]

    def resource_history(self, resource: str, *, limit: int = 100) -> Sequence[ResourceAssigned]:
        rows = self._newest(RESOURCE_HISTORY, limit, resource)
        return [ResourceAssigned(**_without_number(row)) for row in rows]

    def states(self, *, limit: int = 100) -> Sequence[StateNoted]:
        return [StateNoted(**_without_number(row)) for row in self._newest(STATES, limit)]

    def commands(self, *, limit: int = 100) -> Sequence[CommandNoted]:
        rows = [_without_number(row) for row in self._newest(COMMANDS, limit)]
        return [CommandNoted(**{**row, "accepted": bool(row["accepted"])}) for row in rows]

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._engine.dispose()

    # -- inside

    def _write(self, connection: Connection) -> dict[str, str]:
        """Write what waits; return the resources' values after it, to be remembered once it is committed."""
        if self._events:
            ADD_EVENT.run(connection, self._events)
            SET_HEAD.run(connection, [{"last": self._last, "last_hash": self._last_hash}])
        if self._values is None:
            known = connection.execute(select(RESOURCES.c.resource, RESOURCES.c.value)).all()
            self._values = {row.resource: row.value for row in known}
        values = dict(self._values)
        for statement, rows in _rows_of(self._views, values).items():
            statement.run(connection, rows)
        return values

    def _written(self, values: dict[str, str]) -> None:
        self._values = values
        self._events.clear()
        self._views.clear()

    def _rows(self, query: Any) -> Sequence[RowMapping]:
        with storage(self._path, "read the journal"), self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def _newest(self, table: Table, limit: int, resource: str = "") -> Sequence[RowMapping]:
        self.flush()
        query = select(table).order_by(table.c.number.desc()).limit(min(limit, READ_ROWS_MAX))
        return self._rows(query.where(table.c.resource == resource) if resource else query)

    def _chunks(self, after: int) -> Iterator[RowMapping]:
        while True:
            query = select(EVENTS).where(EVENTS.c.sequence > after).order_by(EVENTS.c.sequence).limit(CHUNK_ROWS)
            rows = self._rows(query)
            yield from rows
            if len(rows) < CHUNK_ROWS:
                return
            after = int(rows[-1]["sequence"])

    def _record(self, row: RowMapping) -> Record:
        sequence = int(row["sequence"])
        try:
            envelope = chain.envelope(dict(row))
        except PeerError as error:
            text = f"{self._path}: event {sequence} ({row['type']}) cannot be read: {error}"
            raise JournalBrokenError(text, sequence=sequence) from error
        return Record(sequence=sequence, envelope=envelope, decision=str(row["decision"]), hash=str(row["hash"]))

    def _last_beyond(self, connection: Connection, retention: Retention, now_wall_ns: int) -> int:
        """Return the newest event that is too old or too many."""
        oldest_ns = now_wall_ns - retention.age_s_max * 1_000_000_000
        aged = select(func.max(EVENTS.c.sequence)).where(EVENTS.c.wall_ns < oldest_ns)
        return max(connection.execute(aged).scalar() or 0, self._last - retention.rows_max)

    def _cut(self, connection: Connection, beyond: int) -> int:
        """Remove events up to the newest snapshot at or before `beyond`, so that a replay can begin there."""
        at = connection.execute(select(func.max(SNAPSHOTS.c.sequence)).where(SNAPSHOTS.c.sequence <= beyond)).scalar()
        row = connection.execute(select(EVENTS.c.hash).where(EVENTS.c.sequence == (at or 0))).one_or_none()
        if not at or row is None:
            return 0
        connection.execute(update(HEAD).values(first_previous=at, first_previous_hash=row.hash))
        connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.sequence < at))
        return int(connection.execute(delete(EVENTS).where(EVENTS.c.sequence <= at)).rowcount)


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        METADATA.create_all(connection)
        head = {"one": 1, "first_previous": 0, "first_previous_hash": chain.GENESIS}
        connection.execute(insert(HEAD), [{**head, "last": 0, "last_hash": chain.GENESIS}])


def _rows_of(views: Sequence[Projection], values: dict[str, str]) -> dict[Prepared, list[dict[str, Any]]]:
    """Return what to write for these changes of the views; `values` of the resources are brought up to date."""
    rows: dict[Prepared, list[dict[str, Any]]] = {}
    newest: dict[str, dict[str, Any]] = {}
    for view in views:
        columns = asdict(view)
        match view:
            case ResourceAssigned():
                newest[view.resource] = columns
                if values.get(view.resource) != view.value:
                    rows.setdefault(ADD_RESOURCE, []).append(columns)
                values[view.resource] = view.value
            case StateNoted():
                rows.setdefault(ADD_STATE, []).append(columns)
            case CommandNoted():
                rows.setdefault(ADD_COMMAND, []).append(columns)
    return {**rows, SET_RESOURCE: list(newest.values())}


def _snapshot(row: RowMapping) -> Snapshot:
    return Snapshot(
        sequence=int(row["sequence"]),
        kind=SnapshotKind(row["kind"]),
        state=str(row["state"]),
        wall_ns=int(row["wall_ns"]),
    )


def _without_number(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if name != "number"}
