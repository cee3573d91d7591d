"""The same simulations with the detector that the heartbeat service ships."""

from __future__ import annotations

import pytest
from holdfast.events.membership import PeerFound, PeerLost
from holdfast.testing.judge import Verdict
from holdfast.testing.scheduler import NS_PER_MS
from holdfast.testing.simulate import simulate

from services.heartbeat.core import detector
from services.heartbeat.core.link import LinkTiming


class ShippedJudge:
    """`services.heartbeat.core.detector` as a `holdfast.testing.judge.Judge`."""

    def __init__(self, idents: tuple[str, ...], pulse_ms: int, timeout_ms: int, started_ns: int) -> None:
        links = tuple(
            LinkTiming(ident=ident, pulse_ns=pulse_ms * NS_PER_MS, timeout_ns=timeout_ms * NS_PER_MS)
            for ident in idents
        )
        self._detector = detector.Detector(links, started_ns=started_ns)
        self._incarnation = 0

    @property
    def deadline_ns(self) -> int | None:
        return self._detector.deadline_ns

    def beat(self, ident: str, at_ns: int, *, hears_us: bool, incarnation: int) -> list[Verdict]:
        self._incarnation = incarnation
        return self._said(self._detector.beat(ident, at_ns, hears_us=hears_us))

    def tick(self, at_ns: int, *, late_ns: int) -> list[Verdict]:
        return self._said(self._detector.tick(at_ns, late_ns=late_ns))

    def _said(self, verdicts: list[detector.Verdict]) -> list[Verdict]:
        said: list[Verdict] = []
        for verdict in verdicts:
            match verdict:
                case detector.Found():
                    said.append(PeerFound(incarnation=self._incarnation))
                case detector.Lost():
                    lost = PeerLost(
                        reason=str(verdict.reason),
                        last_heard_mono_ns=verdict.last_heard_ns,
                        silent_ms=verdict.silent_ns / NS_PER_MS,
                        evidence=verdict.evidence,
                    )
                    said.append(lost)
                case _:
                    pass
        return said


@pytest.mark.slow
@pytest.mark.parametrize("first", [20_000, 20_010, 20_020])
def test_invariants_hold_with_the_shipped_detector(first: int) -> None:
    for seed in range(first, first + 10):
        simulate(seed, steps=40, judge_factory=ShippedJudge)


@pytest.mark.slow
@pytest.mark.parametrize("first", [30_000, 30_010])
def test_nothing_promised_is_missing_with_the_shipped_detector(first: int) -> None:
    for seed in range(first, first + 10):
        assert simulate(seed, steps=40, judge_factory=ShippedJudge, split=False).excused == 0
