"""Splits an outage into phases, by the trace of the transition that ended it. Pure.

A phase ends with a span of the new primary; the last one ends with the client's first answer. The client's instants
are of CLOCK_MONOTONIC, those of spans of the wall clock: `wall_offset_ns` lies between them. Client and nodes of a lab
share both clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.demo.record import NS_PER_MS, Gap
from holdfast.events.module import SpanEnded
from holdfast.history.trace import coverage

PHASES: Final = ("detected", "promoted", "address up", "application up", "first answer")
APPLIED: Final = "what was received is applied"
"""What a node waits for first when it takes over or is handed the role."""
WRITABLE: Final = "replicate as primary, alone"
ADDRESS: Final = "take addresses"
APPLICATION: Final = "script start_prim"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Milliseconds of each phase, in the order of PHASES; None for one whose end is not in the trace.

    explained: the part (0 to 1) of the outage that lies inside spans of the trace.
    """

    lengths_ms: tuple[float | None, ...]
    explained: float


def split(spans: Sequence[SpanEnded], gap: Gap, *, node: str, since_ns: int, wall_offset_ns: int) -> Split:
    """Split a gap by what the new primary did. `since_ns`: when the event began, if that was after the last answer.

    A phase whose end is missing is counted in the next one; so the lengths always add up to the time from the event
    to the first answer.
    """
    began_ns = max(gap.from_ns, since_ns)
    bounds_ns = (began_ns + wall_offset_ns, gap.to_ns + wall_offset_ns)
    own = [span for span in spans if span.service.partition("/")[0] == node]
    ends = [
        _first(own, APPLIED, lambda span: span.start_wall_ns),
        _first(own, WRITABLE, lambda span: span.end_wall_ns),
        _first(own, ADDRESS, lambda span: span.end_wall_ns),
        _first(own, APPLICATION, lambda span: span.end_wall_ns),
        bounds_ns[1],
    ]
    lengths: list[float | None] = []
    before = bounds_ns[0]
    for end in ends:
        if end is None:
            lengths.append(None)
            continue
        end = min(max(end, before), bounds_ns[1])
        lengths.append((end - before) / NS_PER_MS)
        before = end
    explained = coverage(spans, from_wall_ns=bounds_ns[0], to_wall_ns=bounds_ns[1])
    return Split(lengths_ms=tuple(lengths), explained=explained)


def _first(spans: Sequence[SpanEnded], name: str, instant: Callable[[SpanEnded], int]) -> int | None:
    return min((instant(span) for span in spans if span.name == name), default=None)
