"""Pure: the journals of several nodes as one list, in an order that is right even when their clocks are not.

Hybrid logical time sorts a cause before its effect on all nodes (`holdfast.clock`). A change of state has no such time
of its own: it stands right after the event that led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.events.envelope import Envelope, HybridTime
from holdfast.journal.port import StateNoted

from services.gateway.wording import line_of, line_of_state

CAUSE_CHARS_MAX = 60


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened. caused_by: in words, and after_ms: how long after that; empty and 0 when not known."""

    at: HybridTime
    wall_ns: int
    node: str
    component: str
    level: str
    text: str
    id: str
    caused_by: str = ""
    after_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What was read from one journal. node: whose it is."""

    node: str
    events: Sequence[Envelope[object]]
    states: Sequence[StateNoted]


def merge(journals: Iterable[Recorded], *, verbose: bool = False) -> list[Entry]:
    """Return what all journals tell, in order; the same event in two journals only once."""
    journals = list(journals)
    known = {event.id: event for journal in journals for event in journal.events}
    places: list[tuple[HybridTime, int, Entry]] = []
    for event in known.values():
        entry = _of_event(event, known)
        if entry is not None and (verbose or entry.level != "I"):
            places.append((event.hybrid, 0, entry))
    for journal in journals:
        for number, noted in enumerate(sorted(journal.states, key=lambda noted: noted.wall_ns), 1):
            entry = _of_state(noted, journal.node, known)
            places.append((entry.at, number, entry))
    return [entry for _at, _number, entry in sorted(places, key=lambda place: place[:2])]


def _of_event(event: Envelope[object], known: dict[str, Envelope[object]]) -> Entry | None:
    line = line_of(event)
    if line is None:
        return None
    caused_by, after_ms = _cause(event.cause, event.at_wall_ns, event.node, known)
    return Entry(
        at=event.hybrid,
        wall_ns=event.at_wall_ns,
        node=event.node,
        component=event.source,
        level=line.level.value,
        text=line.text,
        id=event.id,
        caused_by=caused_by,
        after_ms=after_ms,
    )


def _of_state(noted: StateNoted, node: str, known: dict[str, Envelope[object]]) -> Entry:
    line = line_of_state(noted)
    cause = known.get(noted.cause)
    caused_by, after_ms = _cause(noted.cause, noted.wall_ns, node, known)
    return Entry(
        at=cause.hybrid if cause is not None else HybridTime(wall_ms=noted.wall_ns // 1_000_000, counter=0),
        wall_ns=noted.wall_ns,
        node=node,
        component=line.component,
        level=line.level.value,
        text=line.text,
        id="",
        caused_by=caused_by,
        after_ms=after_ms,
    )


def _cause(cause_id: str, wall_ns: int, node: str, known: dict[str, Envelope[object]]) -> tuple[str, float]:
    """The cause in words, and how long before; a span between clocks of two nodes is not one, so it is left out."""
    cause = known.get(cause_id)
    line = line_of(cause) if cause is not None else None
    if cause is None or line is None:
        return "", 0.0
    after_ms = max(0.0, (wall_ns - cause.at_wall_ns) / 1e6) if cause.node == node else 0.0
    return line.text[:CAUSE_CHARS_MAX], after_ms
