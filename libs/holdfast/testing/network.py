"""The simulated networks between two nodes: datagrams that may be lost, late, doubled and reordered, and cuts.

Replication uses ordered connections over the first network; their model is in `replica`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from holdfast.testing.scheduler import NS_PER_MS, Scheduler

LATENCY_NS_MIN = NS_PER_MS // 10
LATENCY_NS_MAX = NS_PER_MS
LATE_NS_MAX = 60 * NS_PER_MS
"""A late datagram arrives after those of the next pulses: this is what reorders them."""


class Network:
    """lans: names. cut: directions (lan, sender) in which nothing passes. Rates are probabilities per datagram."""

    def __init__(self, scheduler: Scheduler, random: Random, lans: tuple[str, ...]) -> None:
        self.lans = lans
        self.cut: set[tuple[str, int]] = set()
        self.loss_rate = 0.0
        self.double_rate = 0.0
        self.late_rate = 0.0
        self.cut_until_ns = -1
        """When the last full cut of a direction ended; now or later while one lasts."""
        self._scheduler = scheduler
        self._random = random

    def send(self, lan: str, sender: int, deliver: Callable[[str, object], None], datagram: object) -> None:
        """Send one datagram; `deliver(lan, datagram)` is called when, and each time that, it arrives."""
        if (lan, sender) in self.cut:
            return
        random = self._random.random
        if self.loss_rate and random() < self.loss_rate:
            return
        times = 2 if self.double_rate and random() < self.double_rate else 1
        for _ in range(times):
            limit = LATE_NS_MAX if self.late_rate and random() < self.late_rate else LATENCY_NS_MAX
            delay = LATENCY_NS_MIN + int(random() * (limit - LATENCY_NS_MIN))
            self._scheduler.after(delay, deliver, lan, datagram)

    def passes(self, lan: str, sender: int) -> bool:
        return (lan, sender) not in self.cut

    def is_apart(self) -> bool:
        """Is there a direction in which no network passes?"""
        return any(all((lan, sender) in self.cut for lan in self.lans) for sender in (0, 1))

    def change(self, lan: str, sender: int, *, passes: bool) -> None:
        """Cut or heal one direction of one network."""
        before = self.is_apart()
        (self.cut.discard if passes else self.cut.add)((lan, sender))
        if before or self.is_apart():
            self.cut_until_ns = self._scheduler.now_ns

    def was_apart_within(self, span_ns: int) -> bool:
        """Have the nodes been unable to hear each other, in one direction at least, lately?"""
        return self.is_apart() or (self.cut_until_ns >= 0 and self._scheduler.now_ns - self.cut_until_ns <= span_ns)
