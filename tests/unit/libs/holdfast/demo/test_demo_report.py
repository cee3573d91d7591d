"""Phases of an outage, and the report."""

from __future__ import annotations

from holdfast.demo import phases
from holdfast.demo.phases import Moment, Split
from holdfast.demo.record import Judgement
from holdfast.demo.report import Comparison, Event, Report, Resync, tables
from rich.console import Console

MS = 1_000_000


def moment(name: str, at_ms: int, node: str = "node2", **fields: object) -> Moment:
    """An event of a node."""
    return Moment(node=node, name=name, at_ns=at_ms * MS, fields=fields)


TAKEOVER = [
    moment("peer.lost", 50, node="node1"),
    moment("addresses.reported", 80, held=True),
    moment("peer.lost", 100),
    moment("replication.reported", 110, writable=False),
    moment("replication.reported", 120, writable=True),
    moment("addresses.reported", 130, held=False),
    moment("addresses.reported", 140, held=True),
    moment("script.finished", 145, script="transition"),
    moment("script.finished", 300, script="start_prim"),
    moment("script.finished", 900, script="start_prim"),
]


def split(moments: list[Moment]) -> tuple[float | None, ...]:
    """Split a second of outage."""
    return phases.split(moments, node="node2", cause=phases.peer_lost, from_ns=0, to_ns=310 * MS).lengths_ms


def test_outage_is_split_by_the_events_of_the_new_primary() -> None:
    assert split(TAKEOVER) == (100.0, 20.0, 20.0, 160.0, 10.0)


def test_phases_add_up_to_the_outage_also_when_one_is_missing() -> None:
    lengths = split([each for each in TAKEOVER if each.name != "addresses.reported"])
    assert lengths == (100.0, 20.0, None, 180.0, 10.0)
    assert sum(length for length in lengths if length is not None) == 310.0


def test_nothing_is_known_without_a_detection() -> None:
    assert split([each for each in TAKEOVER if each.name != "peer.lost"]) == (None, None, None, None, 310.0)


def test_handover_is_the_peers_word_that_it_gave_the_role_away() -> None:
    assert not phases.peer_handed_over(moment("peer.reported", 1, announcement={"handover_session": ""}))
    assert phases.peer_handed_over(moment("peer.reported", 1, announcement={"handover_session": "s1"}))


EVENT = Event(name="node1 killed", outage_ms=812.4, split=Split(lengths_ms=(100.0, 20.0, None, 180.0, 512.4)))
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
    for shown in ("812", "first answer", "–", "3456", "difference", "base/4/1", "not as expected"):
        assert shown in text or (shown == "base/4/1" and "none (not as expected)" in text)
