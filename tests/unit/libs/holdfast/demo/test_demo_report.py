"""Phases of an outage, and the report."""

from __future__ import annotations

from holdfast.demo import phases
from holdfast.demo.phases import Split
from holdfast.demo.record import Gap, Judgement
from holdfast.demo.report import Comparison, Event, Report, Resync, tables
from holdfast.events.module import SpanEnded
from rich.console import Console

MS = 1_000_000
HOUR_NS = 3_600_000 * MS


def span(name: str, start_ms: int, end_ms: int, service: str) -> SpanEnded:
    """A span of the trace, on a wall clock that is an hour ahead of the monotonic one."""
    return SpanEnded(
        trace_id="t" * 32,
        span_id=f"{name}-{service}",
        parent_span_id="",
        name=name,
        service=service,
        start_wall_ns=HOUR_NS + start_ms * MS,
        end_wall_ns=HOUR_NS + end_ms * MS,
    )


TAKEOVER = [
    span("silence", 5, 99, "node2/heartbeat"),
    span("take addresses", 10, 20, "node1/vip"),
    span("what was received is applied", 100, 110, "node2/statemachine"),
    span("replicate as primary, drain", 101, 108, "node2/rfs@postgresql"),
    span("replicate as primary, alone", 110, 120, "node2/rfs@postgresql"),
    span("take addresses", 111, 140, "node2/vip"),
    span("script start_prim", 140, 300, "node2/scripts"),
]


def split(spans: list[SpanEnded], since_ms: int = 0) -> Split:
    """Split 310 ms of outage."""
    gap = Gap(from_ns=0, to_ns=310 * MS)
    return phases.split(spans, gap, node="node2", since_ns=since_ms * MS, wall_offset_ns=HOUR_NS)


def test_outage_is_split_by_the_spans_of_the_new_primary() -> None:
    found = split(TAKEOVER)
    assert found.lengths_ms == (100.0, 20.0, 20.0, 160.0, 10.0)
    assert found.explained == (310 - 5 - 1 - 10) / 310


def test_phases_add_up_to_the_outage_also_when_one_is_missing() -> None:
    lengths = split([each for each in TAKEOVER if each.name != "take addresses"]).lengths_ms
    assert lengths == (100.0, 20.0, None, 180.0, 10.0)
    assert sum(length for length in lengths if length is not None) == 310.0


def test_phases_begin_with_the_event_when_the_last_answer_was_before_it() -> None:
    assert split(TAKEOVER, since_ms=30).lengths_ms[0] == 70.0


def test_nothing_is_known_without_a_trace() -> None:
    assert split([]) == Split(lengths_ms=(None, None, None, None, 310.0), explained=0.0)


EVENT = Event(
    name="node1 killed", outage_ms=812.4, split=Split(lengths_ms=(100.0, 20.0, None, 180.0, 512.4), explained=0.93)
)
RESYNC = Resync(name="node1", kind="difference", files=12, bytes=3456, seconds=0.5)
CLEAN = Judgement(acked=100, found=101, lost=(), unasked=())


def report(judgement: Judgement, *comparisons: Comparison) -> Report:
    """A report about one event and one resync."""
    return Report(events=(EVENT,), judgement=judgement, resyncs=(RESYNC,), comparisons=comparisons)


EQUAL = Comparison(name="at the end", files=900, bytes=40_000, differences=())
FOUND = Comparison(name="damaged", files=900, bytes=40_000, differences=("base/4/1",), expected=("base/4/1",))
MISSED = Comparison(name="damaged", files=900, bytes=40_000, differences=(), expected=("base/4/1",))


def test_last_line_says_ok_only_when_it_is() -> None:
    assert report(CLEAN, EQUAL, FOUND).last_line(EVENT, RESYNC) == (
        "demo: ok outage_ms=812 acked=100 lost=0 resync_bytes=3456 replicas=equal"
    )
    lost = Judgement(acked=100, found=99, lost=(7,), unasked=())
    assert report(lost, EQUAL).last_line(EVENT, RESYNC).startswith("demo: failed outage_ms=812 acked=100 lost=1")
    assert not report(CLEAN, EQUAL, MISSED).is_ok
    assert not report(CLEAN).is_ok


def test_tables_show_every_figure_without_a_terminal() -> None:
    console = Console(width=120, force_terminal=False, record=True, quiet=False)
    with console.capture() as capture:
        console.print(tables(report(CLEAN, EQUAL, MISSED)))
    text = capture.get()
    for shown in ("812", "first answer", "–", "3456", "difference", "base/4/1", "not as expected", "93%"):
        assert shown in text or (shown == "base/4/1" and "none (not as expected)" in text)
