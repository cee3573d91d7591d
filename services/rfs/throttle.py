"""A limit on bytes per second."""

from __future__ import annotations

import threading

from holdfast.clock import Clock

BURST_S = 0.1
"""Bytes of this long may go at once, so that the limit holds over any longer span without stuttering."""


class Throttle:
    """A token bucket for several threads. A limit of 0 bytes per second means no limit."""

    def __init__(self, bytes_per_second: int, clock: Clock) -> None:
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at_ns = 0

    def pause_s(self, count: int) -> float:
        """Take `count` bytes from the allowance; return how long to wait before sending them."""
        limit = self.bytes_per_second
        if limit <= 0:
            return 0.0
        with self._lock:
            now = self._clock.mono_ns()
            start = max(self._free_at_ns, now - int(BURST_S * 1e9))
            self._free_at_ns = start + count * 1_000_000_000 // limit
            return max(0.0, (start - now) / 1e9)
