"""What was: states, commands, recorded facts, traces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from holdfast.events.module import SpanEnded
from holdfast.history.spans import TraceSummary
from holdfast.history.timeline import Entry, merged, notable
from holdfast.journal.port import CommandNoted, StateNoted

from services.gateway import history
from services.gateway.files.limits import LINES_MAX
from services.gateway.hub import as_json
from services.gateway.parts import Gateway, GatewayHere, Module

router = APIRouter(tags=["history"])
Limit = Annotated[int, Query(ge=1, le=LINES_MAX)]


@router.get("/modules/{module}/states")
def get_states(gateway: GatewayHere, module: Module, limit: Limit = 100) -> Sequence[StateNoted]:
    """The timeline of states, newest first."""
    return history.states(gateway.settings, module, limit)


@router.get("/modules/{module}/commands")
def get_commands(gateway: GatewayHere, module: Module, limit: Limit = 100) -> Sequence[CommandNoted]:
    """Who asked for what and what became of it, newest first."""
    return history.commands(gateway.settings, module, limit)


@router.get("/modules/{module}/journal")
def get_journal(
    gateway: GatewayHere, module: Module, after: int = 0, since_wall_ns: int = 0, limit: Limit = 1000
) -> StreamingResponse:
    """Recorded facts in order, one JSON object a line."""
    with history.journal_of(gateway.settings, module):
        pass
    return StreamingResponse(_records(gateway, module, after, since_wall_ns, limit), media_type="application/x-ndjson")


@router.get("/modules/{module}/timeline")
def get_timeline(gateway: GatewayHere, module: Module, limit: Limit = 300, verbose: bool = False) -> list[Entry]:
    """What happened on this node, with causes; `holdfast timeline` merges the journals of several nodes."""
    with history.journal_of(gateway.settings, module) as journal:
        found = merged([history.newest_entries(journal, limit=limit)])
    return list(found if verbose else notable(found))[-limit:]


@router.get("/traces")
def get_traces(gateway: GatewayHere, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> Sequence[TraceSummary]:
    """The last traces of this node, newest first."""
    with history.spans_of(gateway.settings) as store:
        return store.traces(limit=limit)


@router.get("/traces/{trace}")
def get_trace(gateway: GatewayHere, trace: Annotated[str, InPath(pattern="^[0-9a-f]{32}$")]) -> Sequence[SpanEnded]:
    """The spans of one trace, earliest first."""
    with history.spans_of(gateway.settings) as store:
        return store.read(trace)


def _records(gateway: Gateway, module: str, after: int, since_wall_ns: int, limit: int) -> Iterator[str]:
    with history.journal_of(gateway.settings, module) as journal:
        for record in islice(journal.read(after=after, since_wall_ns=since_wall_ns), limit):
            yield json.dumps({"sequence": record.sequence, **as_json(record.envelope)}) + "\n"
