"""The journal's tables.

`head` has one row that says how far the journal goes, written in the same transaction as the events, so that missing
rows at the end are seen; and where it begins, so that the chain still holds after old rows were removed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("module", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("mono_ns", BigInteger, nullable=False),
    Column("hlc_wall_ms", BigInteger, nullable=False),
    Column("hlc_counter", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("trace", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
HEAD = Table(
    "head",
    METADATA,
    Column("one", Integer, primary_key=True),
    Column("first_previous", Integer, nullable=False),
    Column("first_previous_hash", Text, nullable=False),
    Column("last", Integer, nullable=False),
    Column("last_hash", Text, nullable=False),
)
SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("sequence", Integer, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
)
RESOURCES = Table(
    "resources",
    METADATA,
    Column("resource", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)
RESOURCE_HISTORY = Table(
    "resource_history",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("resource", Text, nullable=False, index=True),
    Column("value", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)
STATES = Table(
    "states",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)
COMMANDS = Table(
    "commands",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("action", Text, nullable=False),
    Column("argument", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("wall_ns", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)
HISTORIES = (RESOURCE_HISTORY, STATES, COMMANDS)
