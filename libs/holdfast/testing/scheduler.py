"""Virtual time: a queue of things to do, in order of time and then of arrival."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
EVENTS_MAX = 50_000_000
"""Things done in one simulation; more means that two parts keep each other busy for ever."""

Deed = Callable[..., None]


class Scheduler:
    """now_ns is the true time of the simulated world; nodes see it through clocks of their own."""

    __slots__ = ("_counter", "_queue", "done", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self.done = 0
        self._queue: list[tuple[int, int, Deed, tuple[Any, ...]]] = []
        self._counter = 0

    def after(self, delay_ns: int, deed: Deed, *arguments: object) -> None:
        """Do something `delay_ns` from now."""
        self._counter += 1
        heapq.heappush(self._queue, (self.now_ns + delay_ns, self._counter, deed, arguments))

    def run_until(self, end_ns: int) -> None:
        """Do everything that is due up to and at `end_ns`."""
        queue = self._queue
        while queue and queue[0][0] <= end_ns:
            self.now_ns, _, deed, arguments = heapq.heappop(queue)
            self.done += 1
            deed(*arguments)
        self.now_ns = end_ns
        assert self.done < EVENTS_MAX, "a simulation is bounded"
