"""Pure: the spans of one trace as lines, children under their parents, each with a bar where it lies in the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from holdfast.events.module import SpanEnded

BAR_CHARS = 40
NAME_CHARS = 46
DEPTH_MAX = 16


def render(spans: Sequence[SpanEnded]) -> list[str]:
    """Return a head line and one line for each span: start, duration, name, service, bar."""
    if not spans:
        return []
    begin_ns = min(span.start_wall_ns for span in spans)
    whole_ns = max(1, max(span.end_wall_ns for span in spans) - begin_ns)
    head = f"trace {spans[0].trace_id}: {len(spans)} spans, {whole_ns / 1e6:.1f} ms"
    return [head, *(_line(span, depth, begin_ns, whole_ns) for span, depth in _in_order(spans))]


def _in_order(spans: Sequence[SpanEnded]) -> Iterator[tuple[SpanEnded, int]]:
    """Depth first, earliest first; a span whose parent is not there stands at the top."""
    known = {span.span_id for span in spans}
    children: defaultdict[str, list[SpanEnded]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_wall_ns, -span.end_wall_ns)):
        parent = span.parent_span_id if span.parent_span_id in known and span.parent_span_id != span.span_id else ""
        children[parent].append(span)
    pending = [(span, 0) for span in reversed(children[""])]
    while pending:
        span, depth = pending.pop()
        yield span, depth
        if depth < DEPTH_MAX:
            pending += [(child, depth + 1) for child in reversed(children.pop(span.span_id, []))]


def _line(span: SpanEnded, depth: int, begin_ns: int, whole_ns: int) -> str:
    start_ns, end_ns = span.start_wall_ns - begin_ns, span.end_wall_ns - begin_ns
    first = start_ns * BAR_CHARS // whole_ns
    length = max(1, (end_ns * BAR_CHARS // whole_ns) - first)
    bar = (" " * min(first, BAR_CHARS - 1) + "█" * length)[:BAR_CHARS].ljust(BAR_CHARS)
    name = f"{'  ' * depth}{span.name}"[:NAME_CHARS].ljust(NAME_CHARS)
    return f"{start_ns / 1e6:9.1f} ms {(end_ns - start_ns) / 1e6:9.1f} ms  {name}  {bar}  {span.service}"
