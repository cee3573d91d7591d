"""The local store of spans: one SQLite file per node, bounded, read by trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import BigInteger, Column, Integer, MetaData, RowMapping, Table, Text, delete, func, insert, select

from holdfast.events.module import SpanEnded
from holdfast.journal.database import open_engine, storage

SPANS_MAX = 50_000
"""About 20 MB; a failover makes some tens of spans."""
BATCH_SPANS_MAX = 256
TRACES_LISTED_MAX = 200
FILE_NAME = "traces.db"

_METADATA = MetaData()
_SPANS = Table(
    "spans",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("trace_id", Text, nullable=False, index=True),
    Column("span_id", Text, nullable=False),
    Column("parent_span_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("start_wall_ns", BigInteger, nullable=False),
    Column("end_wall_ns", BigInteger, nullable=False),
    Column("attributes", Text, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSummary:
    """One trace of the store: its id, the name of its earliest root, its whole extent."""

    trace_id: str
    name: str
    start_wall_ns: int
    end_wall_ns: int
    spans: int


class SpanStore:
    """Spans are written in batches; losing the last of them breaks nothing."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create; raises StorageError."""
        self._path = path
        self._waiting: list[dict[str, object]] = []
        with storage(path, "open the span store"):
            self._engine = open_engine(path, synchronous="OFF", read_only=read_only)
            if not read_only:
                with self._engine.begin() as connection:
                    _METADATA.create_all(connection)

    def add(self, span: SpanEnded) -> None:
        self._waiting.append(
            {
                "trace_id": span.trace_id,
                "span_id": span.span_id,
                "parent_span_id": span.parent_span_id,
                "name": span.name,
                "service": span.service,
                "start_wall_ns": span.start_wall_ns,
                "end_wall_ns": span.end_wall_ns,
                "attributes": json.dumps(span.attributes),
            }
        )
        if len(self._waiting) >= BATCH_SPANS_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what waits and keep the store within its limit."""
        if not self._waiting:
            return
        with storage(self._path, "write spans"), self._engine.begin() as connection:
            connection.execute(insert(_SPANS), self._waiting)
            newest = connection.execute(select(func.max(_SPANS.c.number))).scalar() or 0
            connection.execute(delete(_SPANS).where(_SPANS.c.number <= newest - SPANS_MAX))
        self._waiting.clear()

    def read(self, trace_id: str) -> Sequence[SpanEnded]:
        """Return the spans of a trace, earliest first."""
        self.flush()
        query = select(_SPANS).where(_SPANS.c.trace_id == trace_id).order_by(_SPANS.c.start_wall_ns, _SPANS.c.number)
        with storage(self._path, "read spans"), self._engine.connect() as connection:
            return [_span(row) for row in connection.execute(query).mappings()]

    def newest(self) -> int:
        """Return the number of the newest span, 0 when there is none. Numbers grow from span to span."""
        with storage(self._path, "read spans"), self._engine.connect() as connection:
            return int(connection.execute(select(func.max(_SPANS.c.number))).scalar() or 0)

    def after(self, number: int, *, limit: int) -> Sequence[tuple[int, SpanEnded]]:
        """Return the spans behind a number, in order, each with its own."""
        query = select(_SPANS).where(_SPANS.c.number > number).order_by(_SPANS.c.number).limit(limit)
        with storage(self._path, "read spans"), self._engine.connect() as connection:
            return [(int(row["number"]), _span(row)) for row in connection.execute(query).mappings()]

    def traces(self, *, limit: int = 20) -> Sequence[TraceSummary]:
        """Return the last traces, newest first."""
        self.flush()
        start, end = func.min(_SPANS.c.start_wall_ns), func.max(_SPANS.c.end_wall_ns)
        query = (
            select(_SPANS.c.trace_id, start.label("start"), end.label("end"), func.count().label("spans"))
            .group_by(_SPANS.c.trace_id)
            .order_by(start.desc())
            .limit(min(limit, TRACES_LISTED_MAX))
        )
        with storage(self._path, "read spans"), self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            TraceSummary(
                trace_id=str(row["trace_id"]),
                name=_name(self.read(str(row["trace_id"]))),
                start_wall_ns=int(row["start"]),
                end_wall_ns=int(row["end"]),
                spans=int(row["spans"]),
            )
            for row in rows
        ]

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._engine.dispose()


def _span(row: RowMapping) -> SpanEnded:
    return SpanEnded(
        trace_id=str(row["trace_id"]),
        span_id=str(row["span_id"]),
        parent_span_id=str(row["parent_span_id"]),
        name=str(row["name"]),
        service=str(row["service"]),
        start_wall_ns=int(row["start_wall_ns"]),
        end_wall_ns=int(row["end_wall_ns"]),
        attributes=json.loads(row["attributes"]),
    )


def _name(spans: Sequence[SpanEnded]) -> str:
    known = {span.span_id for span in spans}
    return next((span.name for span in spans if span.parent_span_id not in known), "")
