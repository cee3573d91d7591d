"""Facts as lines of the log."""

from __future__ import annotations

import pytest
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerLost
from holdfast.events.module import Action, CommandRequested, ResourceReported, ScriptFinished, StateChanged
from holdfast.ids import ModuleId, NodeId
from holdfast.support.wording import STOPPED_BY_MAXLOOP, Detail, Level, line_of, words


def envelope(payload: object) -> Envelope[object]:
    return Envelope(
        id="e1",
        module=ModuleId("shop"),
        node=NodeId("node1"),
        source="heartbeat",
        at_wall_ns=1_700_000_000_123_456_789,
        at_mono_ns=1,
        hybrid=HybridTime(wall_ms=1, counter=0),
        cause="",
        trace="",
        payload=payload,
    )


def test_line_has_date_component_level_and_text() -> None:
    line = line_of(envelope(ResourceReported(resource="tcp.web", value="down", by="checker-tcp")))
    assert str(line) == "2023-11-14 22:13:20.123456 | heartbeat | E | Resource tcp.web set to down by checker-tcp"


@pytest.mark.parametrize(
    ("payload", "level", "text"),
    [
        (
            CommandRequested(action=Action.PRIM, argument="fullsync", who="root"),
            "E",
            "Action prim fullsync called by root",
        ),
        (
            CommandRequested(action=Action.STOP, identity="start_prim", who="root"),
            "E",
            "Action stop called by start_prim",
        ),
        (
            PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1003.4, evidence=""),
            "E",
            "Remote node is lost: silence after 1003 ms",
        ),
        (
            ScriptFinished(run="r", script="stop_prim", exit_code=137, duration_ms=1500, timed_out=True, log=""),
            "E",
            "Script stop_prim ended with 137 after 1.500 s, over its time limit",
        ),
    ],
)
def test_words_are_those_of_the_model(payload: object, level: str, text: str) -> None:
    assert words(payload) == (Level(level), text)


def test_facts_without_words_make_no_line() -> None:
    assert line_of(envelope(object())) is None


def test_a_stop_by_loop_protection_is_critical() -> None:
    stopped = StateChanged(
        role="STOP",
        status="NotReady",
        previous_role="PRIM",
        previous_status="Ready",
        epoch=3,
        reason=f"{STOPPED_BY_MAXLOOP}: everything is stopped",
    )
    assert words(stopped) == (
        Level.C,
        "Local state STOP NotReady (stopped by maxloop: everything is stopped)",
    )


@pytest.mark.parametrize(
    ("detail", "shown"), [(Detail.EVENTS, "CEW"), (Detail.INFORMATION, "CEWI"), (Detail.ALL, "CEWID")]
)
def test_more_detail_shows_more_levels(detail: Detail, shown: str) -> None:
    assert "".join(level for level in Level if detail.shows(level)) == shown
