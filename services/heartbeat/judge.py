"""The shipped detector as the judge of a simulated node (`holdfast.testing.judge`): the same verdicts, as facts."""

from __future__ import annotations

from holdfast.events.membership import PeerFound, PeerLost

from services.heartbeat.core import Detector, Found, LinkTiming, Lost, Verdict

MS = 1_000_000


def loss_fact(verdict: Lost) -> PeerLost:
    """Return the verdict as it is published."""
    return PeerLost(
        reason=verdict.reason.value,
        last_heard_mono_ns=verdict.last_heard_ns,
        silent_ms=verdict.silent_ns / MS,
        evidence=verdict.evidence,
    )


class DetectorJudge:
    """Fits `holdfast.testing.judge.JudgeFactory`."""

    def __init__(self, idents: tuple[str, ...], pulse_ms: int, timeout_ms: int, started_ns: int) -> None:
        timings = (LinkTiming(ident=each, pulse_ns=pulse_ms * MS, timeout_ns=timeout_ms * MS) for each in idents)
        self._detector = Detector(tuple(timings), started_ns=started_ns)
        self._incarnation = 0

    @property
    def deadline_ns(self) -> int | None:
        return self._detector.deadline_ns

    def beat(self, ident: str, at_ns: int, *, hears_us: bool, incarnation: int) -> list[PeerFound | PeerLost]:
        self._incarnation = incarnation
        return self._facts(self._detector.beat(ident, at_ns, hears_us=hears_us))

    def tick(self, at_ns: int, *, late_ns: int) -> list[PeerFound | PeerLost]:
        return self._facts(self._detector.tick(at_ns, late_ns=late_ns))

    def _facts(self, verdicts: list[Verdict]) -> list[PeerFound | PeerLost]:
        facts: list[PeerFound | PeerLost] = []
        for verdict in verdicts:
            if isinstance(verdict, Found):
                facts.append(PeerFound(incarnation=self._incarnation))
            elif isinstance(verdict, Lost):
                facts.append(loss_fact(verdict))
        return facts
