"""Time as an injected object, and the hybrid logical clock that orders events of several nodes."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from holdfast.events.envelope import HybridTime


class Clock(Protocol):
    """wall_ns: UTC since the epoch, may jump. mono_ns: CLOCK_MONOTONIC, never goes back, not comparable between
    nodes.
    """

    def wall_ns(self) -> int: ...
    def mono_ns(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def mono_ns(self) -> int:
        return time.monotonic_ns()


class HybridClock:
    """Hybrid logical clock (Kulkarni et al. 2014): close to wall time, never going back, always after what was seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = HybridTime(wall_ms=0, counter=0)

    def now(self) -> HybridTime:
        """Return a time later than every time returned or observed before."""
        with self._lock:
            wall_ms = self._clock.wall_ns() // 1_000_000
            if wall_ms > self._last.wall_ms:
                self._last = HybridTime(wall_ms=wall_ms, counter=0)
            else:
                self._last = HybridTime(wall_ms=self._last.wall_ms, counter=self._last.counter + 1)
            return self._last

    def observe(self, seen: HybridTime) -> None:
        """Take into account a time received from elsewhere."""
        with self._lock:
            self._last = max(self._last, seen)
