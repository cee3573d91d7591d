"""Statements that are rendered once: building and compiling one anew takes ten times as long as running it.

The state machine writes a few rows before every order that it gives, and a takeover waits for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import UpdateBase

_DIALECT = sqlite.dialect(paramstyle="named")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A statement's text with named parameters, one for each column that it writes."""

    text: str

    def run(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Run it for each row; none is no work."""
        if rows:
            connection.exec_driver_sql(self.text, [dict(row) for row in rows])


def inserting(table: Table) -> Prepared:
    """Add a row. A column `number` is left to the database, which counts."""
    return _prepared(insert(table).values(_parameters(table)))


def replacing(table: Table) -> Prepared:
    """Add a row, or replace the one with the same primary key."""
    values = _parameters(table)
    fresh = upsert(table).values(values)
    keys = [column.name for column in table.primary_key]
    return _prepared(
        fresh.on_conflict_do_update(index_elements=keys, set_={name: fresh.excluded[name] for name in values})
    )


def updating(table: Table, names: Sequence[str]) -> Prepared:
    """Set these columns in every row."""
    return _prepared(update(table).values({name: bindparam(name) for name in names}))


def _parameters(table: Table) -> dict[str, object]:
    return {column.name: bindparam(column.name) for column in table.columns if column.name != "number"}


def _prepared(statement: UpdateBase) -> Prepared:
    return Prepared(text=str(statement.compile(dialect=_DIALECT)))
