"""What the simulated heartbeat needs of a failure detector, and a simple one of our own.

The shipped detector lives in `services/heartbeat`, which libraries may not import; whoever composes a simulation
(tests, `holdfast sim`) passes a factory for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from holdfast.events.membership import PeerFound, PeerLost

Verdict = PeerFound | PeerLost


class Judge(Protocol):
    """A detector of one peer: beats and ticks in, verdicts out. Times are the node's own monotonic clock."""

    @property
    def deadline_ns(self) -> int | None:
        """When the next tick is due at the latest."""

    def beat(self, ident: str, at_ns: int, *, hears_us: bool, incarnation: int) -> list[Verdict]:
        """A beat arrived on the network `ident`."""

    def tick(self, at_ns: int, *, late_ns: int) -> list[Verdict]:
        """Judge; late_ns is how much later than planned this process looks."""


JudgeFactory = Callable[[tuple[str, ...], int, int, int], Judge]
"""From networks, pulse_ms, timeout_ms and the start on the node's clock to a detector."""


class TimeoutJudge:
    """Lost after a timeout without a beat on any network; time in which this process stood still does not count."""

    def __init__(self, idents: tuple[str, ...], pulse_ms: int, timeout_ms: int, started_ns: int) -> None:
        self._timeout_ns = timeout_ms * 1_000_000
        self._since_ns = started_ns
        self._last_heard_ns = 0
        self._present: bool | None = None

    @property
    def deadline_ns(self) -> int | None:
        return None if self._present is False else self._since_ns + self._timeout_ns

    def beat(self, ident: str, at_ns: int, *, hears_us: bool, incarnation: int) -> list[Verdict]:
        self._since_ns = self._last_heard_ns = at_ns
        if self._present:
            return []
        self._present = True
        return [PeerFound(incarnation=incarnation)]

    def tick(self, at_ns: int, *, late_ns: int) -> list[Verdict]:
        if late_ns >= self._timeout_ns // 2:
            self._since_ns = at_ns
        if self._present is False or at_ns - self._since_ns < self._timeout_ns:
            return []
        reason = "silence" if self._present else "never"
        self._present = False
        silent_ms = (at_ns - self._since_ns) / 1_000_000
        return [PeerLost(reason=reason, last_heard_mono_ns=self._last_heard_ns, silent_ms=silent_ms, evidence="")]
