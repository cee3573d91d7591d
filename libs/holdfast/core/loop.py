"""Loop protection: more than `maxloop` automatic actions within `loop_interval` stop the module."""

from __future__ import annotations

from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopCounter:
    """When automatic actions were taken, this node's monotonic clock, oldest first; never longer than maxloop."""

    taken_at_mono_ns: tuple[int, ...] = ()

    def recent(self, now_mono_ns: int, loop_interval_s: int) -> tuple[int, ...]:
        """Those still inside the interval. A clock that began anew (reboot) leaves times in the future: not counted."""
        oldest = now_mono_ns - loop_interval_s * NS_PER_S
        return tuple(at for at in self.taken_at_mono_ns if oldest < at <= now_mono_ns)

    def allows(self, now_mono_ns: int, *, maxloop: int, loop_interval_s: int) -> bool:
        """May one more automatic action be taken now? An interval of 0 switches the protection off."""
        return loop_interval_s == 0 or len(self.recent(now_mono_ns, loop_interval_s)) < maxloop

    def counted(self, now_mono_ns: int, *, maxloop: int, loop_interval_s: int) -> LoopCounter:
        """The counter with one more action."""
        if loop_interval_s == 0:
            return self
        taken = (*self.recent(now_mono_ns, loop_interval_s), now_mono_ns)
        return LoopCounter(taken_at_mono_ns=taken[-max(maxloop, 1) :])
