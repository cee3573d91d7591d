"""Spans: made, kept, drawn, and measured against an outage."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.events.module import SpanEnded
from holdfast.history.spans import SpanStore
from holdfast.history.trace import FOLD, coverage, linked, merged, render, waterfall
from holdfast.telemetry import LINK, Telemetry, is_trace, new_span, new_trace, trace_id

MS = 1_000_000


def span(
    name: str, start_ms: int, end_ms: int, *, own: str = "", parent: str = "", service: str = "node1/vip"
) -> SpanEnded:
    return SpanEnded(
        trace_id="t" * 32,
        span_id=own or name,
        parent_span_id=parent,
        name=name,
        service=service,
        start_wall_ns=start_ms * MS,
        end_wall_ns=end_ms * MS,
    )


FAILOVER = [
    span("address", 1020, 1040, parent="root"),
    span("SECOND to ALONE", 0, 1100, own="root"),
    span("silence", 0, 1000, parent="root"),
    span("netlink", 1021, 1030, own="deep", parent="address"),
    span("script start_prim", 1040, 1100, parent="root"),
]


def test_waterfall_draws_parents_before_children_in_order_of_time() -> None:
    drawn = [(bar.span.name, bar.depth) for bar in waterfall(FAILOVER)]
    names = ["SECOND to ALONE", "silence", "address", "netlink", "script start_prim"]
    assert drawn == list(zip(names, [0, 1, 1, 2, 1], strict=True))
    head, *lines = render(FAILOVER)
    assert head.endswith("5 spans, 1100.0 ms")
    assert [line.count("|") for line in lines] == [2] * 5
    assert list(render([])) == []


def test_a_quiet_time_is_folded_so_that_what_was_done_can_be_seen() -> None:
    """A node that comes back after an hour."""
    hour_ms = 3_600_000
    back = span("WAIT to SECOND", hour_ms, hour_ms + 1000, parent="root")
    head, *lines = render([*FAILOVER, back])
    assert "6 spans, 3601000.0 ms, of which 3598900.0 ms without work are folded" in head
    pictures = [line.split("|")[1] for line in lines]
    assert {len(picture) for picture in pictures} == {40}
    assert pictures[0].count("█") == pytest.approx(20, abs=1)
    assert pictures[-1].count("█") == pytest.approx(18, abs=1)
    assert all(picture.count(FOLD) == 1 for picture in pictures)


def test_a_linked_trace_is_drawn_along_and_marked() -> None:
    other = new_trace()
    back = replace(span("WAIT to SECOND", 2000, 2100, parent="root"), attributes={LINK: other})
    assert linked([*FAILOVER, back, back]) == (trace_id(other),)
    start = replace(span("STOP to WAIT", 1900, 2000), trace_id=trace_id(other))
    head, *lines = render([*FAILOVER, back], along=[start])
    assert head.endswith(f"linked with {trace_id(other)}")
    assert [line for line in lines if f"(linked: {trace_id(other)[:8]})" in line] == [lines[-1]]


def test_spans_that_are_each_others_parents_do_not_hang() -> None:
    assert waterfall([span("a", 0, 1, parent="b"), span("b", 0, 1, parent="a")]) == []


def test_spans_of_two_nodes_are_merged_once() -> None:
    assert [item.name for item in merged([FAILOVER[:2], FAILOVER[1:3]])] == ["SECOND to ALONE", "silence", "address"]


@pytest.mark.parametrize(("from_ms", "to_ms", "part"), [(0, 1100, 1069 / 1100), (0, 2000, 1069 / 2000), (5, 5, 1.0)])
def test_coverage_counts_what_leaves_explain(from_ms: int, to_ms: int, part: float) -> None:
    """Between 1000 and 1020 nothing is explained; within the address only its netlink part is."""
    assert coverage(FAILOVER, from_wall_ns=from_ms * MS, to_wall_ns=to_ms * MS) == pytest.approx(part)


def test_spans_are_kept_and_found_by_trace(tmp_path: Path) -> None:
    store = SpanStore(tmp_path / "traces.db")
    for item in FAILOVER:
        store.add(item)
    [summary] = store.traces()
    assert (summary.name, summary.spans, summary.end_wall_ns) == ("SECOND to ALONE", 5, 1100 * MS)
    assert {item.name for item in store.read("t" * 32)} == {item.name for item in FAILOVER}
    store.close()


def test_a_span_belongs_to_the_trace_that_it_was_given() -> None:
    published: list[SpanEnded] = []
    all_published = asyncio.Event()

    async def publish(ended: SpanEnded) -> None:
        published.append(ended)
        if len(published) == 3:
            all_published.set()

    async def run() -> str:
        telemetry = Telemetry(service="vip", node="node1", publish=publish)
        root = new_trace()
        with telemetry.span("outer", trace=root, attributes={"address": "10.0.0.1"}) as outer:
            with telemetry.span("inner", trace=outer):
                pass
            telemetry.record("measured", trace=outer, start_wall_ns=5, end_wall_ns=9)
        await all_published.wait()
        return root

    root = asyncio.run(run())
    by_name = {item.name: item for item in published}
    assert {item.trace_id for item in published} == {trace_id(root)}
    assert by_name["outer"].parent_span_id == root.split("-")[2]
    assert by_name["inner"].parent_span_id == by_name["measured"].parent_span_id == by_name["outer"].span_id
    assert by_name["outer"].service == "node1/vip"
    assert by_name["outer"].attributes == {"address": "10.0.0.1"}


def test_an_error_is_noted_in_the_span_that_it_ended() -> None:
    published: list[SpanEnded] = []
    is_published = asyncio.Event()

    async def publish(ended: SpanEnded) -> None:
        published.append(ended)
        is_published.set()

    async def run() -> None:
        telemetry = Telemetry(service="vip", node="node1", publish=publish)
        with pytest.raises(OSError, match="full"), telemetry.span("work", attributes={"held": True}):
            raise OSError("full")
        await is_published.wait()

    asyncio.run(run())
    assert published[0].attributes == {"error": "OSError: full", "held": "true"}


@pytest.mark.parametrize("text", ["", "nonsense", "00-xyz-1-01", f"00-{'0' * 32}-{'1' * 16}-01"])
def test_a_text_that_is_no_traceparent_begins_a_new_trace(text: str) -> None:
    assert not is_trace(text)
    assert is_trace(new_span(text))
