"""Journals of two nodes as one list."""

from __future__ import annotations

from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerLost
from holdfast.events.module import Action, CommandRequested, SpanEnded
from holdfast.ids import ModuleId, NodeId
from holdfast.journal.port import StateNoted

from services.gateway.timeline import Recorded, merge
from services.gateway.waterfall import render

MS = 1_000_000


def event(name: str, node: str, wall_ms: int, hybrid_ms: int, payload: object, cause: str = "") -> Envelope[object]:
    return Envelope(
        id=name,
        module=ModuleId("shop"),
        node=NodeId(node),
        source="test",
        at_wall_ns=wall_ms * MS,
        at_mono_ns=0,
        hybrid=HybridTime(wall_ms=hybrid_ms, counter=0),
        cause=cause,
        trace="",
        payload=payload,
    )


LOST = PeerLost(reason="silence", last_heard_mono_ns=0, silent_ms=1000, evidence="")


def test_order_is_that_of_cause_and_effect_even_when_a_clock_is_an_hour_off() -> None:
    hour_ms = 3_600_000
    first = event("a", "node1", 1_000 + hour_ms, 10, CommandRequested(action=Action.SWAP, who="root"))
    second = event("b", "node2", 1_000, 20, LOST, cause="a")
    entries = merge(
        [Recorded(node="node2", events=[second], states=[]), Recorded(node="node1", events=[first], states=[])]
    )
    assert [entry.node for entry in entries] == ["node1", "node2"]
    assert entries[1].caused_by == "Action swap called by root"
    assert entries[1].after_ms == 0


def test_state_stands_after_its_cause_with_the_time_it_took() -> None:
    lost = event("a", "node1", 1_000, 10, LOST)
    later = event("b", "node1", 1_001, 11, LOST)
    noted = StateNoted(
        role="ALONE", status="Ready", epoch=2, reason="the peer is lost", because="", wall_ns=1_012 * MS, cause="a"
    )
    entries = merge([Recorded(node="node1", events=[lost, later], states=[noted])])
    assert [entry.text[:11] for entry in entries] == ["Remote node", "Local state", "Remote node"]
    assert entries[1].after_ms == 12


def test_event_in_two_journals_is_told_once() -> None:
    lost = event("a", "node1", 1_000, 10, LOST)
    journals = [Recorded(node=node, events=[lost], states=[]) for node in ("node1", "node2")]
    assert len(merge(journals)) == 1


def span(name: str, parent: str, start_ms: int, end_ms: int) -> SpanEnded:
    return SpanEnded(
        trace_id="t" * 32,
        span_id=name,
        parent_span_id=parent,
        name=name,
        service="test",
        start_wall_ns=start_ms * MS,
        end_wall_ns=end_ms * MS,
    )


def test_waterfall_puts_children_under_parents_in_order_of_time() -> None:
    lines = render([span("late", "root", 60, 100), span("root", "", 0, 100), span("early", "root", 0, 50)])
    assert lines[0].endswith("3 spans, 100.0 ms")
    assert [line.split()[4] for line in lines[1:]] == ["root", "early", "late"]
    assert lines[1].count("█") == 40
    assert lines[2].count("█") == 20


def test_waterfall_survives_spans_that_are_their_own_ancestors() -> None:
    assert len(render([span("a", "a", 0, 1), span("b", "missing", 0, 1)])) == 3
    assert render([]) == []
