"""A trace as a waterfall, and how much of an outage its spans explain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.events.module import SpanEnded

BAR_CHARS = 40
NS_PER_MS = 1_000_000
DEPTH_MAX = 16
"""Deeper nesting than this is drawn flat; it also bounds a malformed trace whose spans are each other's parents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One line of the waterfall."""

    span: SpanEnded
    depth: int
    start_ms: float
    length_ms: float


def merged(stores: Iterable[Sequence[SpanEnded]]) -> list[SpanEnded]:
    """Return the spans of one trace from several nodes' stores, each once, earliest first."""
    unique = {span.span_id: span for spans in stores for span in spans}
    return sorted(unique.values(), key=lambda span: (span.start_wall_ns, -span.end_wall_ns))


def waterfall(spans: Sequence[SpanEnded]) -> list[Bar]:
    """Return parents before their children, each level in order of time, relative to the trace's start."""
    if not spans:
        return []
    first_ns = min(span.start_wall_ns for span in spans)
    known = {span.span_id for span in spans}
    children: dict[str, list[SpanEnded]] = {}
    for span in sorted(spans, key=lambda span: (span.start_wall_ns, -span.end_wall_ns)):
        parent = span.parent_span_id if span.parent_span_id in known and span.parent_span_id != span.span_id else ""
        children.setdefault(parent, []).append(span)
    bars: list[Bar] = []
    waiting = [(span, 0) for span in reversed(children.get("", []))]
    while waiting:
        span, depth = waiting.pop()
        start_ms = (span.start_wall_ns - first_ns) / NS_PER_MS
        length_ms = (span.end_wall_ns - span.start_wall_ns) / NS_PER_MS
        bars.append(Bar(span=span, depth=depth, start_ms=start_ms, length_ms=length_ms))
        below = children.pop(span.span_id, [])
        waiting += [(child, min(depth + 1, DEPTH_MAX)) for child in reversed(below)]
    return bars


def render(spans: Sequence[SpanEnded]) -> Iterator[str]:
    """Return the waterfall as text: a head line, then start, length, picture, name, who."""
    bars = waterfall(spans)
    if not bars:
        return
    total_ms = max((bar.start_ms + bar.length_ms for bar in bars), default=0.0)
    if total_ms <= 0:
        total_ms = 1.0
    yield f"trace {spans[0].trace_id}: {len(spans)} spans, {total_ms:.1f} ms"
    for bar in bars:
        begin = round(bar.start_ms / total_ms * BAR_CHARS)
        width = max(1, round(bar.length_ms / total_ms * BAR_CHARS))
        picture = (" " * min(begin, BAR_CHARS - 1) + "█" * width)[:BAR_CHARS].ljust(BAR_CHARS)
        name = "  " * bar.depth + bar.span.name
        yield f"{bar.start_ms:10.1f} ms {bar.length_ms:10.1f} ms |{picture}| {name}  [{bar.span.service}]"


def coverage(spans: Sequence[SpanEnded], *, from_wall_ns: int, to_wall_ns: int) -> float:
    """Return which part (0 to 1) of an outage lies inside spans that have no children: what the trace explains.

    Roots only say that something took long; leaves say what. A root without children counts as a leaf.
    """
    if to_wall_ns <= from_wall_ns:
        return 1.0
    parents = {span.parent_span_id for span in spans}
    leaves = [span for span in spans if span.span_id not in parents]
    clipped = [(max(span.start_wall_ns, from_wall_ns), min(span.end_wall_ns, to_wall_ns)) for span in leaves]
    covered_ns, reached_ns = 0, from_wall_ns
    for start_ns, end_ns in sorted(clipped):
        if end_ns > max(start_ns, reached_ns):
            covered_ns += end_ns - max(start_ns, reached_ns)
            reached_ns = end_ns
    return covered_ns / (to_wall_ns - from_wall_ns)
