"""Opens a SQLite file the way all our stores do, and turns its errors into ours."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError as SqlError
from sqlalchemy.pool import StaticPool

from holdfast.errors import StorageError

BUSY_MS = 5_000
"""Readers (the command line) hold the file for milliseconds; a writer waits for them no longer than this."""
WAL_BYTES_MAX = 8 << 20
HEADER_BYTES = 100


def open_engine(path: Path, *, synchronous: str, read_only: bool = False, checkpoints: bool = True) -> Engine:
    """Return an engine with one connection: write-ahead log, `synchronous` NORMAL or FULL (sqlite.org/pragma.html).

    checkpoints: let a commit now and then wait for the disk to move the log into the file; else the caller has to.
    """
    address = f"file:{path}?mode={'ro' if read_only else 'rwc'}"
    engine = create_engine(
        URL.create("sqlite", database=address, query={"uri": "true"}),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000},
    )

    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            if not checkpoints:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")

    event.listen(engine, "connect", configure)
    return engine


def prepare_file(path: Path, create: Callable[[Engine], None]) -> None:
    """Make the file when there is none, whole or not at all; raise StorageError for what is only the rest of one.

    SQLite takes a file that was cut to less than its header (100 bytes, sqlite.org/fileformat2.html) for a new one.
    """
    if path.exists():
        if path.stat().st_size < HEADER_BYTES:
            raise StorageError(f"{path}: cut to {path.stat().st_size} bytes", hint="restore the file from a copy")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    for rest in (fresh, *(fresh.with_name(f"{fresh.name}{ending}") for ending in ("-wal", "-shm"))):
        rest.unlink(missing_ok=True)
    engine = open_engine(fresh, synchronous="FULL")
    try:
        create(engine)
    finally:
        engine.dispose()
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def storage(path: Path, doing: str) -> Iterator[None]:
    """Translate the database's errors into StorageError that names the file and what was being done."""
    try:
        yield
    except SqlError as error:
        raise StorageError(f"{path}: cannot {doing}: {error.orig or error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"{path}: cannot {doing}: {error}") from error
