"""The authority record on disk is what was written, or it is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from holdfast.core.authority import AuthorityRecord
from holdfast.errors import StorageError
from holdfast.events.state import Copy, Role
from holdfast.ids import Epoch, Generation, Session
from holdfast.journal.authority import AuthorityStore

RECORD = AuthorityRecord(
    epoch=Epoch(7),
    lineage=(Generation("node1.7.3"), Generation("node1.1.1")),
    took_over=True,
    role=Role.PRIM,
    copy=Copy.UP_TO_DATE,
    in_step_session=Session("s1"),
    incarnation=3,
)


def written(path: Path) -> None:
    store = AuthorityStore(path)
    store.write(RECORD)
    store.close()


def test_a_new_store_holds_the_first_record(tmp_path: Path) -> None:
    store = AuthorityStore(tmp_path / "authority.db")
    assert store.read() == AuthorityRecord()
    store.close()


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "authority.db"
    written(path)
    store = AuthorityStore(path)
    assert store.read() == RECORD
    store.close()


def test_the_database_syncs_fully_before_a_write_returns(tmp_path: Path) -> None:
    """SQLite's synchronous is 2 (FULL): the write-ahead log is synced at each commit."""
    store = AuthorityStore(tmp_path / "authority.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


@pytest.mark.parametrize("length", [0, 1, 100, 4096])
def test_a_truncated_record_is_refused_and_stays_as_it_is(tmp_path: Path, length: int) -> None:
    path = tmp_path / "authority.db"
    written(path)
    with path.open("r+b") as file:
        file.truncate(length)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"authority\.db"):
        AuthorityStore(path).read()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE record SET body = replace(body, '"epoch":7', '"epoch":8')""",
        "UPDATE record SET version = 99",
        "DELETE FROM record",
        "DROP TABLE record",
    ],
)
def test_an_altered_record_is_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "authority.db"
    written(path)
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    store = AuthorityStore(path)
    with pytest.raises(StorageError, match="authority record"):
        store.read()
    store.close()
