"""Splits an outage into phases, from the timeline of the node that took over. Pure.

A phase ends with an event in that node's journal; the last one ends with the client's first answer. All instants
are CLOCK_MONOTONIC of one machine: the nodes of a lab share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.demo.record import NS_PER_MS

PHASES: Final = ("detected", "promoted", "address up", "application up", "first answer")


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One event of a node: its wire name, when, and the fields of its payload."""

    node: str
    name: str
    at_ns: int
    fields: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Milliseconds of each phase, in the order of PHASES; None for one whose end is not in the timeline."""

    lengths_ms: tuple[float | None, ...]


def split(moments: Iterable[Moment], *, node: str, cause: Callable[[Moment], bool], from_ns: int, to_ns: int) -> Split:
    """Split the time from `from_ns` to `to_ns` by what happened on `node`.

    `cause` says which event is the detection: the verdict that the peer is lost, or its handing over. The
    others are the first of their kind after it. A phase whose event is missing is counted in the next one.
    """
    own = sorted((m for m in moments if m.node == node and from_ns <= m.at_ns <= to_ns), key=lambda m: m.at_ns)
    lengths: list[float | None] = []
    before = from_ns
    detected = next((m.at_ns for m in own if cause(m)), None)
    later = [m for m in own if detected is not None and m.at_ns >= detected]
    ends = [detected, *(_first(later, wanted) for wanted in (_promoted, _address_up, _application_up)), to_ns]
    for end in ends:
        if end is None:
            lengths.append(None)
            continue
        end = max(end, before)
        lengths.append((end - before) / NS_PER_MS)
        before = end
    return Split(lengths_ms=tuple(lengths))


def peer_lost(moment: Moment) -> bool:
    """The heartbeat's verdict."""
    return moment.name == "peer.lost"


def peer_handed_over(moment: Moment) -> bool:
    """The peer announces that it has given the primary role away."""
    announcement = moment.fields.get("announcement")
    return (
        moment.name == "peer.reported"
        and isinstance(announcement, Mapping)
        and bool(announcement.get("handover_session"))
    )


def _first(moments: Sequence[Moment], wanted: Callable[[Moment], bool]) -> int | None:
    return next((moment.at_ns for moment in moments if wanted(moment)), None)


def _promoted(moment: Moment) -> bool:
    """The copy is writable: the role, the epoch and the mount are what they must be for a primary."""
    return moment.name == "replication.reported" and moment.fields.get("writable") is True


def _address_up(moment: Moment) -> bool:
    return moment.name == "addresses.reported" and moment.fields.get("held") is True


def _application_up(moment: Moment) -> bool:
    return moment.name == "script.finished" and moment.fields.get("script") == "start_prim"
