"""A trace as a waterfall, and how much of an outage its spans explain. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.events.module import SpanEnded
from holdfast.telemetry import LINK, trace_id

BAR_CHARS = 40
QUIET_NS_MIN = 2_000_000_000
"""A time without any span longer than this (a dead node before it comes back) is folded in the picture …"""
FOLDED_PART = 0.05
"""… to this part of the time in which something was done."""
FOLD = "┊"
LINKED_TRACES_MAX = 8
"""Traces that are shown along with the one that names them."""
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


def linked(spans: Iterable[SpanEnded]) -> tuple[str, ...]:
    """Return the ids of the other traces that spans name in a link, in order, at most LINKED_TRACES_MAX."""
    ids = dict.fromkeys(trace_id(span.attributes.get(LINK, "")) for span in spans)
    return tuple(each for each in ids if each)[:LINKED_TRACES_MAX]


def render(spans: Sequence[SpanEnded], *, along: Sequence[SpanEnded] = ()) -> Iterator[str]:
    """Return the waterfall as text: a head line, then start, length, picture, name, who.

    along: spans of linked traces, drawn among the others and marked with their trace.
    """
    if not spans:
        return
    own = spans[0].trace_id
    bars = waterfall([*spans, *along])
    scale = _Scale(bars)
    links = "".join(f", linked with {each}" for each in sorted({span.trace_id for span in along}))
    quiet = f", of which {scale.quiet_ms:.1f} ms without work are folded at {FOLD}" if scale.quiet_ms else ""
    yield f"trace {own}: {len(spans)} spans, {scale.total_ms:.1f} ms{quiet}{links}"
    for bar in bars:
        name = "  " * bar.depth + bar.span.name
        mark = f"  (linked: {bar.span.trace_id[:8]})" if bar.span.trace_id != own else ""
        picture = scale.picture(bar)
        yield f"{bar.start_ms:10.1f} ms {bar.length_ms:10.1f} ms |{picture}| {name}  [{bar.span.service}]{mark}"


class _Scale:
    """Maps time to columns; quiet times take little room. total_ms: from the first start to the last end."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        quiet = list(_quiet(bars))
        self.total_ms = max((bar.start_ms + bar.length_ms for bar in bars), default=0.0)
        self.quiet_ms = sum(end_ms - start_ms for start_ms, end_ms in quiet)
        busy_ms = (self.total_ms - self.quiet_ms) or 1.0
        self._folded_ms = busy_ms * FOLDED_PART
        self._quiet = quiet
        self._chars_per_ms = BAR_CHARS / (busy_ms + len(quiet) * self._folded_ms)

    def picture(self, bar: Bar) -> str:
        """Return the bar in its row of BAR_CHARS columns."""
        first = min(round(self._column(bar.start_ms)), BAR_CHARS - 1)
        width = max(1, round(self._column(bar.start_ms + bar.length_ms)) - first)
        columns = list((" " * first + "█" * width)[:BAR_CHARS].ljust(BAR_CHARS))
        for start_ms, end_ms in self._quiet:
            at = min(int(self._column((start_ms + end_ms) / 2)), BAR_CHARS - 1)
            if columns[at] == " ":
                columns[at] = FOLD
        return "".join(columns)

    def _column(self, at_ms: float) -> float:
        shown_ms = at_ms
        for start_ms, end_ms in self._quiet:
            passed_ms = min(max(at_ms - start_ms, 0.0), end_ms - start_ms)
            shown_ms -= passed_ms * (1 - self._folded_ms / (end_ms - start_ms))
        return shown_ms * self._chars_per_ms


def _quiet(bars: Iterable[Bar]) -> Iterator[tuple[float, float]]:
    """Yield start and end (ms) of each long time in which no span was open."""
    reached_ms = 0.0
    for bar in sorted(bars, key=lambda bar: bar.start_ms):
        if (bar.start_ms - reached_ms) * NS_PER_MS > QUIET_NS_MIN:
            yield reached_ms, bar.start_ms
        reached_ms = max(reached_ms, bar.start_ms + bar.length_ms)


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
