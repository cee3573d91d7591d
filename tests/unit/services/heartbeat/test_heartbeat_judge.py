"""The shipped detector in the place of a simulated node's judge."""

from __future__ import annotations

from holdfast.events.membership import PeerFound, PeerLost
from holdfast.testing.judge import JudgeFactory

from services.heartbeat.judge import DetectorJudge

MS = 1_000_000


def test_the_shipped_detector_fits_the_simulation() -> None:
    """Found with the peer's incarnation, lost after the timeout, with the reasoning in words."""
    factory: JudgeFactory = DetectorJudge
    judge = factory(("blue", "red"), 100, 1000, 0)
    assert judge.beat("blue", 5 * MS, hears_us=True, incarnation=3) == [PeerFound(incarnation=3)]
    facts: list[PeerFound | PeerLost] = []
    at_ns = 0
    while not facts:
        assert judge.deadline_ns is not None
        at_ns = judge.deadline_ns
        facts = judge.tick(at_ns, late_ns=0)
    (lost,) = facts
    assert isinstance(lost, PeerLost)
    assert (lost.reason, at_ns) == ("silence", 1005 * MS)
