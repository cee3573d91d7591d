"""What a detector remembers for people."""

from __future__ import annotations

from services.heartbeat.core import Detector, LinkTiming, Tally
from services.heartbeat.core.tally import GAPS_KEPT

MS = 1_000_000


def test_the_longest_gaps_are_kept_with_their_times() -> None:
    tally = Tally()
    for number in range(1, 101):
        tally.gap(number * MS, number, "lan1")
    assert tally.beats == 100
    assert sorted(gap_ns // MS for gap_ns, _, _ in tally.gaps) == list(range(101 - GAPS_KEPT, 101))
    assert max(tally.gaps) == (100 * MS, 100, "lan1")


def test_doubts_and_verdicts_are_counted() -> None:
    """Lateness, standstill and pressure are doubts; silence that is judged is a loss."""
    detector = Detector((LinkTiming(ident="lan1", pulse_ns=100 * MS, timeout_ns=1000 * MS),), started_ns=0)
    detector.beat("lan1", 100 * MS, hears_us=True)
    detector.beat("lan1", 300 * MS, hears_us=True)
    detector.tick(450 * MS, late_ns=50 * MS)
    detector.tick(1100 * MS, late_ns=600 * MS)
    detector.tick(1200 * MS, pressed=True)
    tally = detector.tally
    assert (tally.late, tally.stalls, tally.pressed, tally.doubts) == (1, 1, 1, 3)
    assert [(gap_ns, ident) for gap_ns, _, ident in tally.gaps] == [(200 * MS, "lan1")]
    detector.tick(9000 * MS)
    assert (tally.suspected, tally.lost) == (1, 1)


def test_the_first_beat_after_a_loss_ends_no_gap() -> None:
    detector = Detector((LinkTiming(ident="lan1", pulse_ns=100 * MS, timeout_ns=1000 * MS),), started_ns=0)
    detector.beat("lan1", 100 * MS, hears_us=True)
    detector.tick(9000 * MS)
    detector.beat("lan1", 9100 * MS, hears_us=True)
    assert detector.tally.gaps == []
