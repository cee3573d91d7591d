"""The failure detector: when a peer counts as found, suspected and lost, and when it must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.heartbeat.core import (
    EVIDENCE_QUESTIONS_MIN,
    EVIDENCE_SILENCE_MIN_NS,
    Detector,
    Found,
    Lifeline,
    LinkChanged,
    Lost,
    Reason,
    Suspected,
    Verdict,
)
from services.heartbeat.core.link import STALLS_EXCUSED_MAX, LinkTiming

MS = 1_000_000
PULSE = 100 * MS
TIMEOUT = 1000 * MS


def timing(ident: str = "default", *, pulse_ns: int = PULSE, timeout_ns: int = TIMEOUT) -> LinkTiming:
    return LinkTiming(ident=ident, pulse_ns=pulse_ns, timeout_ns=timeout_ns)


def heard_peer(*idents: str, beats: int = 10) -> tuple[Detector, int]:
    """A detector that has heard regular beats on every network, and the time of the last ones."""
    detector = Detector(tuple(timing(ident) for ident in idents or ("default",)), started_ns=0)
    at_ns = 0
    for _ in range(beats):
        at_ns += PULSE
        for ident in idents or ("default",):
            detector.beat(ident, at_ns, hears_us=True)
        detector.tick(at_ns)
    return detector, at_ns


def run_until_lost(detector: Detector, at_ns: int, *, until_ns: int, late_ns: int = 0) -> Lost | None:
    """Tick exactly when the detector asks for it, until it says lost or has no deadline before `until_ns`."""
    while (due_ns := detector.deadline_ns) is not None and due_ns <= until_ns:
        at_ns = max(due_ns + late_ns, at_ns)
        for verdict in detector.tick(at_ns, late_ns=late_ns):
            if isinstance(verdict, Lost):
                return verdict
    return None


def kinds(verdicts: list[Verdict]) -> list[type]:
    return [type(verdict) for verdict in verdicts]


def test_first_beat_finds_the_peer_and_brings_the_network_up() -> None:
    """One genuine beat is enough to be present."""
    detector = Detector((timing(),), started_ns=0)
    verdicts = detector.beat("default", 5, hears_us=False)
    assert verdicts == [LinkChanged(at_ns=5, ident="default", up=True, heard_by_peer=False), Found(at_ns=5)]
    assert detector.beat("default", 6, hears_us=False) == []


def test_silence_of_a_timeout_is_loss() -> None:
    """The verdict comes one timeout after the last beat, not earlier and not later."""
    detector, at_ns = heard_peer()
    lost = run_until_lost(detector, at_ns, until_ns=at_ns + 10 * TIMEOUT)
    assert lost is not None
    assert (lost.reason, lost.at_ns - at_ns, lost.last_heard_ns) == (Reason.SILENCE, TIMEOUT, at_ns)
    assert "default: last beat 1000 ms ago, timeout 1000 ms" in lost.evidence


def test_a_peer_that_was_never_heard_is_lost_after_a_whole_timeout() -> None:
    """A heartbeat that starts gives the peer one timeout to be heard."""
    detector = Detector((timing(),), started_ns=7)
    lost = run_until_lost(detector, 7, until_ns=10 * TIMEOUT)
    assert lost is not None
    assert (lost.reason, lost.at_ns, lost.last_heard_ns, lost.silent_ns) == (Reason.NEVER, TIMEOUT + 7, 0, TIMEOUT)


def test_peer_is_lost_only_when_every_network_is_silent() -> None:
    """One network that works is enough; the silent one is reported down."""
    detector, at_ns = heard_peer("blue", "red")
    end_ns = at_ns + 3 * TIMEOUT
    seen: list[Verdict] = []
    while at_ns < end_ns:
        at_ns += PULSE
        seen += detector.beat("red", at_ns, hears_us=True)
        seen += detector.tick(at_ns)
    assert [(v.ident, v.up) for v in seen if isinstance(v, LinkChanged)] == [("blue", False)]
    assert not any(isinstance(verdict, Lost) for verdict in seen)
    lost = run_until_lost(detector, at_ns, until_ns=at_ns + 3 * TIMEOUT)
    assert lost is not None
    assert lost.at_ns == at_ns + TIMEOUT


def test_suspicion_comes_once_and_before_loss() -> None:
    """Three missing beats are worth a word; nothing follows from it."""
    detector, at_ns = heard_peer()
    assert kinds(detector.tick(at_ns + 4 * PULSE)) == [Suspected]
    assert detector.tick(at_ns + 5 * PULSE) == []
    detector.beat("default", at_ns + 6 * PULSE, hears_us=True)
    assert kinds(detector.tick(at_ns + 12 * PULSE)) == [Suspected]


def test_one_way_cut_is_told_by_the_peer() -> None:
    """We hear the peer and it says, more than once, that it does not hear us."""
    detector, at_ns = heard_peer()
    assert detector.beat("default", at_ns + 1, hears_us=False) == []
    assert detector.beat("default", at_ns + 2, hears_us=False) == []
    verdicts = detector.beat("default", at_ns + 3, hears_us=False)
    assert verdicts == [LinkChanged(at_ns=at_ns + 3, ident="default", up=True, heard_by_peer=False)]
    verdicts = detector.beat("default", at_ns + 4, hears_us=True)
    assert verdicts == [LinkChanged(at_ns=at_ns + 4, ident="default", up=True, heard_by_peer=True)]


def test_last_words_are_loss_at_once() -> None:
    """A goodbye needs no timeout; another goodbye says nothing new; a later beat finds the peer again."""
    detector, at_ns = heard_peer()
    (lost,) = detector.goodbye("default", at_ns + 1, "the node stops")
    assert isinstance(lost, Lost)
    assert (lost.reason, lost.at_ns) == (Reason.LAST_WORDS, at_ns + 1)
    assert "the node stops" in lost.evidence
    assert detector.goodbye("default", at_ns + 2, "the node stops") == []
    assert kinds(detector.beat("default", at_ns + 3, hears_us=True)) == [Found]


def ask_questions(detector: Detector, count: int = EVIDENCE_QUESTIONS_MIN) -> None:
    for _ in range(count):
        assert detector.wants_answer()
        detector.asked()


def test_refused_lifeline_and_unanswered_questions_are_loss_long_before_the_timeout() -> None:
    """The peer's kernel says that its processes are gone, and nothing of it answers."""
    detector, at_ns = heard_peer("blue", "red")
    detector.lifeline("blue", at_ns + 10 * MS, Lifeline.REFUSED)
    ask_questions(detector)
    lost = run_until_lost(detector, at_ns, until_ns=at_ns + TIMEOUT // 2)
    assert lost is not None
    assert (lost.reason, lost.at_ns) == (Reason.EVIDENCE, at_ns + 10 * MS + EVIDENCE_SILENCE_MIN_NS)
    assert "lifeline closed and refused on blue" in lost.evidence
    assert [link.up for link in detector.links()] == [False, False]


@pytest.mark.parametrize(
    ("states", "questions", "answers"),
    [
        pytest.param([Lifeline.UNKNOWN], 3, False, id="closed but not refused"),
        pytest.param([Lifeline.REFUSED], 2, False, id="too few questions"),
        pytest.param([Lifeline.REFUSED], 3, True, id="the peer answers"),
        pytest.param([Lifeline.REFUSED, Lifeline.OPEN], 3, False, id="connected again"),
        pytest.param([Lifeline.REFUSED, Lifeline.UNKNOWN], 3, False, id="refusal no longer stands"),
    ],
)
def test_weaker_evidence_leaves_it_to_the_timeout(states: list[Lifeline], questions: int, answers: bool) -> None:
    """A restarted heartbeat, a restarted supervisor or a lost datagram must not be taken for death."""
    detector, at_ns = heard_peer()
    for state in states:
        detector.lifeline("default", at_ns, state)
    for _ in range(questions):
        detector.asked()
    if answers:
        detector.beat("default", at_ns + 100 * MS, hears_us=True)
    assert run_until_lost(detector, at_ns, until_ns=at_ns + TIMEOUT - 1) is None


def test_lateness_of_this_process_is_not_counted_as_silence() -> None:
    """A tick that comes late by some milliseconds each time lengthens patience by as much, up to one timeout."""
    detector, at_ns = heard_peer()
    excused_ns = 0
    now_ns = at_ns
    for _ in range(5):
        now_ns += PULSE
        detector.tick(now_ns, late_ns=30 * MS)
        excused_ns += 30 * MS
    assert detector.deadline_ns is not None
    lost = run_until_lost(detector, now_ns, until_ns=at_ns + 10 * TIMEOUT)
    assert lost is not None
    assert lost.at_ns == at_ns + TIMEOUT + excused_ns
    assert "150 ms not counted because this node ran late" in lost.evidence


def test_a_stopped_process_does_not_wake_up_to_a_verdict() -> None:
    """After a stall of five timeouts the peer gets the chance to send some beats before it is judged."""
    detector, at_ns = heard_peer()
    awake_ns = at_ns + 5 * TIMEOUT
    assert not any(isinstance(v, Lost) for v in detector.tick(awake_ns, late_ns=5 * TIMEOUT - PULSE))
    detector.beat("default", awake_ns + PULSE, hears_us=True)
    assert run_until_lost(detector, awake_ns, until_ns=awake_ns + PULSE + TIMEOUT - 1) is None


def test_stalls_cannot_put_off_the_verdict_for_ever() -> None:
    """Only some stalls of one silence are excused."""
    detector, at_ns = heard_peer()
    lost = None
    for stall in range(1, STALLS_EXCUSED_MAX + 3):
        verdicts = detector.tick(at_ns + stall * 2 * TIMEOUT, late_ns=2 * TIMEOUT - PULSE)
        lost = next((verdict for verdict in verdicts if isinstance(verdict, Lost)), lost)
    assert lost is not None


def test_pressure_on_this_node_gives_one_pulse_more() -> None:
    """A node short of CPU time waits one pulse longer, once."""
    detector, at_ns = heard_peer()
    assert not any(isinstance(v, Lost) for v in detector.tick(at_ns + TIMEOUT, pressed=True))
    verdicts = detector.tick(at_ns + TIMEOUT + PULSE, pressed=True)
    assert any(isinstance(verdict, Lost) for verdict in verdicts)


def test_networks_can_be_changed_without_forgetting_the_peer() -> None:
    """A network that is added gets its own timeout, the one that stays keeps its last beat."""
    detector, at_ns = heard_peer("blue")
    detector.configure((timing("blue"), timing("red")), at_ns=at_ns + 500 * MS)
    assert detector.is_present
    lost = run_until_lost(detector, at_ns, until_ns=at_ns + 5 * TIMEOUT)
    assert lost is not None
    assert lost.at_ns == at_ns + 500 * MS + TIMEOUT


def test_lost_peer_is_found_again_on_any_network() -> None:
    """Loss is not for ever."""
    detector, at_ns = heard_peer("blue", "red")
    assert run_until_lost(detector, at_ns, until_ns=at_ns + 5 * TIMEOUT) is not None
    verdicts = detector.beat("red", at_ns + 9 * TIMEOUT, hears_us=True)
    assert kinds(verdicts) == [LinkChanged, Found]


gaps = st.lists(st.integers(min_value=1, max_value=TIMEOUT - 1), min_size=1, max_size=60)


@given(gaps)
def test_a_peer_whose_gaps_stay_below_the_timeout_is_never_lost(beat_gaps: list[int]) -> None:
    """Whatever the jitter, with ticks wherever the detector asks for them."""
    detector = Detector((timing(),), started_ns=0)
    at_ns = 0
    for gap_ns in beat_gaps:
        assert run_until_lost(detector, at_ns, until_ns=at_ns + gap_ns) is None
        at_ns += gap_ns
        detector.beat("default", at_ns, hears_us=True)


@given(gaps, st.integers(min_value=0, max_value=TIMEOUT // 2 - 1), st.booleans())
def test_a_silent_peer_is_lost_within_the_stated_bound(beat_gaps: list[int], late_ns: int, pressed: bool) -> None:
    """Jitter, lateness and pressure never lengthen patience beyond `patience_ns_max` plus one timeout."""
    detector = Detector((timing(),), started_ns=0)
    at_ns = 0
    for gap_ns in beat_gaps:
        at_ns += gap_ns
        detector.beat("default", at_ns, hears_us=True)
    now_ns, lost = at_ns, False
    bound_ns = detector.patience_ns_max + TIMEOUT
    while not lost and now_ns <= at_ns + bound_ns:
        now_ns += PULSE
        lost = any(isinstance(v, Lost) for v in detector.tick(now_ns, late_ns=late_ns, pressed=pressed))
    assert lost
    assert now_ns - at_ns >= TIMEOUT


@given(st.lists(st.tuples(st.sampled_from(["beat", "tick", "bye", "refused", "open"]), st.integers(0, 2 * TIMEOUT))))
def test_verdicts_alternate(inputs: list[tuple[str, int]]) -> None:
    """Found and lost take turns whatever happens, and `is_present` says which was last."""
    detector = Detector((timing("blue"), timing("red")), started_ns=0)
    at_ns = 0
    last: type | None = None
    for what, gap_ns in inputs:
        at_ns += gap_ns
        verdicts: list[Verdict] = []
        match what:
            case "beat":
                verdicts = detector.beat("blue", at_ns, hears_us=True)
            case "bye":
                verdicts = detector.goodbye("red", at_ns, "enough")
            case "refused":
                detector.lifeline("blue", at_ns, Lifeline.REFUSED)
                detector.asked()
            case "open":
                detector.lifeline("red", at_ns, Lifeline.OPEN)
            case _:
                verdicts = detector.tick(at_ns, late_ns=gap_ns // 7)
        for verdict in verdicts:
            if isinstance(verdict, Found | Lost):
                assert type(verdict) is not last
                last = type(verdict)
                assert detector.is_present is (last is Found)
