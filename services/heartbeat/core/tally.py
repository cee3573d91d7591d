"""PURE: what a detector has lived through, for people and measurements; nothing is judged by it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

GAPS_KEPT = 16
"""The longest gaps between beats, each with its time, so that those of any period can be told from earlier ones."""


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts since the detector began. gaps: smallest first as a heap of (length, when it ended, network).

    late, stalls, pressed: how often time was not counted as silence, because this process ran late, stood still, or
    its node's CPUs were short of time.
    """

    beats: int = 0
    late: int = 0
    stalls: int = 0
    pressed: int = 0
    suspected: int = 0
    lost: int = 0
    gaps: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def doubts(self) -> int:
        """How often the detector took its own node's condition into account."""
        return self.late + self.stalls + self.pressed

    def gap(self, gap_ns: int, at_ns: int, ident: str) -> None:
        """A beat came `gap_ns` after the one before it on this network."""
        self.beats += 1
        if len(self.gaps) < GAPS_KEPT:
            heapq.heappush(self.gaps, (gap_ns, at_ns, ident))
        elif gap_ns > self.gaps[0][0]:
            heapq.heapreplace(self.gaps, (gap_ns, at_ns, ident))
