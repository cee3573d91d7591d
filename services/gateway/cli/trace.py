"""`holdfast trace`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from holdfast.errors import NotFoundError
from holdfast.settings import load_settings

from services.gateway.cli.options import JsonOption, show, stamp

if TYPE_CHECKING:
    from holdfast.events.module import SpanEnded
    from holdfast.history.spans import TraceSummary

STORE = "traces.db"
LISTED = 50
ModuleChoice = Annotated[
    str, typer.Option("-m", "--module", envvar="SAFEMODULE", metavar="AM", help="Only traces of this module.")
]


def run(
    trace: Annotated[str, typer.Argument(metavar="[ID]", help="The trace whose id begins so; else the last.")] = "",
    module: ModuleChoice = "",
    stores: Annotated[
        list[Path] | None, typer.Option("--store", metavar="FILE", help="Another node's traces.db; may be repeated.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the last traces instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one trace as a waterfall: every step with its beginning, its length, and the service that did it.

    A failover, the return of the node that had failed and its resynchronisation are one trace over both nodes; the
    start of the returning node, before it heard of that, is a linked one and is shown along.

    Example: holdfast trace -m shop --store /mnt/node2/traces.db
    """
    from holdfast.history.trace import linked, render

    paths = [load_settings().state_dir / STORE, *(stores or [])]
    summaries = [s for s in _summaries(paths) if s.trace_id.startswith(trace) and _is_of(paths, s, module)]
    if not summaries:
        raise NotFoundError("there is no such trace" if trace or module else "there are no traces yet")
    if listing:
        listed = summaries[:LISTED]
        show([asdict(each) for each in listed], as_json=as_json, text="\n".join(_line(each) for each in listed))
        return
    spans = _spans(paths, summaries[0].trace_id)
    along = [] if as_json else [span for other in linked(spans) for span in _spans(paths, other)]
    show([asdict(span) for span in spans], as_json=as_json, text="\n".join(render(spans, along=along)))


def _line(summary: TraceSummary) -> str:
    length_ms = (summary.end_wall_ns - summary.start_wall_ns) / 1e6
    return f"{summary.trace_id}  {stamp(summary.start_wall_ns)}  {length_ms:9.1f} ms  {summary.name}"


def _summaries(paths: list[Path]) -> list[TraceSummary]:
    """The traces of all stores, newest first, each once."""
    from holdfast.history.spans import SpanStore

    found: dict[str, TraceSummary] = {}
    for path in paths:
        if not path.exists():
            continue
        store = SpanStore(path, read_only=True)
        try:
            for summary in store.traces(limit=LISTED):
                found.setdefault(summary.trace_id, summary)
        finally:
            store.close()
    return sorted(found.values(), key=lambda summary: -summary.start_wall_ns)


def _spans(paths: list[Path], trace: str) -> list[SpanEnded]:
    from holdfast.history.spans import SpanStore
    from holdfast.history.trace import merged

    stores: list[Sequence[SpanEnded]] = []
    for path in paths:
        if path.exists():
            store = SpanStore(path, read_only=True)
            try:
                stores.append(store.read(trace))
            finally:
                store.close()
    return merged(stores)


def _is_of(paths: list[Path], summary: TraceSummary, module: str) -> bool:
    return not module or any(span.attributes.get("module") == module for span in _spans(paths, summary.trace_id))
