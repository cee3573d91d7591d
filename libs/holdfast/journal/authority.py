"""The authority record on disk: one row, checked, written with full fsync before anything that follows from it.

A record that cannot be read is refused and never guessed: a node that does not know what it promised must not act.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, insert, select

from holdfast.core.authority import AuthorityRecord
from holdfast.errors import StorageError
from holdfast.journal.database import open_engine, prepare_file, storage
from holdfast.journal.statements import replacing

_METADATA = MetaData()
_RECORD = Table(
    "record",
    _METADATA,
    Column("one", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)
SET_RECORD = replacing(_RECORD)
VERSION = 1
_ADAPTER = TypeAdapter(AuthorityRecord)


class AuthorityStore:
    """One module's record. Safe to write from one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create the file; raises StorageError when it is there and is not a sound database."""
        self._path = path
        with storage(path, "open the authority record"):
            if not read_only:
                prepare_file(path, _create)
            self._engine = open_engine(path, synchronous="FULL", read_only=read_only)

    def read(self) -> AuthorityRecord:
        """Return the record; raise StorageError when it is missing, truncated or altered."""
        with storage(self._path, "read the authority record"), self._engine.connect() as connection:
            row = connection.execute(select(_RECORD)).mappings().one_or_none()
        if row is None:
            raise _unreadable(self._path, "there is no record in it")
        body = str(row["body"])
        if row["version"] != VERSION:
            raise _unreadable(self._path, f"version {row['version']} is not {VERSION}")
        if _digest(body) != row["sha256"]:
            raise _unreadable(self._path, "its checksum is wrong")
        try:
            return _ADAPTER.validate_json(body)
        except ValidationError as error:
            raise _unreadable(self._path, str(error)) from error

    def write(self, record: AuthorityRecord) -> None:
        """Replace the record; when this returns it survives the loss of power."""
        with storage(self._path, "write the authority record"), self._engine.begin() as connection:
            SET_RECORD.run(connection, [{"one": 1, **_row(record)}])

    def close(self) -> None:
        self._engine.dispose()


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        _METADATA.create_all(connection)
        connection.execute(insert(_RECORD), [{"one": 1, **_row(AuthorityRecord())}])


def _row(record: AuthorityRecord) -> dict[str, object]:
    body = _ADAPTER.dump_json(record).decode()
    return {"version": VERSION, "body": body, "sha256": _digest(body)}


def _digest(body: str) -> str:
    return hashlib.sha256(f"{VERSION}:{body}".encode()).hexdigest()


def _unreadable(path: Path, why: str) -> StorageError:
    return StorageError(
        f"{path}: the authority record cannot be read: {why}",
        hint="this node will not act; restore the file, or remove the module's copy here and let it resynchronise",
    )
