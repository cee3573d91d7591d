"""PURE: what is known about one network of a heartbeat: last beat, usual gaps, and the excuses for our own lateness."""

from __future__ import annotations

from dataclasses import dataclass

from services.heartbeat.core.tally import Tally

NO_BEAT_NS = -1
"""Stands for the time of a beat that never came; monotonic times are not negative."""
AFTER_STALL_PULSES = 3
"""Beats that a living peer has the chance to send after a stall of ours before it can be judged silent.

A stall may be one of the whole machine (a paused virtual machine), whose network then received nothing."""
UNHEARD_BEATS_MIN = 3
"""Beats in a row that say that the peer does not hear us; a heartbeat that was just restarted has heard nothing yet."""
STALL_SHARE = 2
"""A lateness of at least timeout / STALL_SHARE is a stall, not jitter."""
STALLS_EXCUSED_MAX = 4
"""A process that stalls more often within one silence does not judge better by waiting longer."""
JITTER_SHARE_MAX = 4
"""Jitter seen earlier lengthens patience by at most timeout / JITTER_SHARE_MAX."""
_GAIN_MEAN = 8
_GAIN_DEVIATION = 4
_DEVIATIONS = 4
"""Smoothing gains and factor of RFC 6298 section 2, there for round trips, here for gaps between beats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkTiming:
    """One network: its name, the sender's interval and the silence that makes it down."""

    ident: str
    pulse_ns: int
    timeout_ns: int


class Link:
    """One network's account. Everything in nanoseconds of the caller's monotonic clock."""

    __slots__ = (
        "_deviation_ns",
        "_late_ns",
        "_mean_ns",
        "_pressed_ns",
        "_since_ns",
        "_stall_ns",
        "_stalls",
        "_tally",
        "_unheard",
        "hold_until_ns",
        "is_heard_by_peer",
        "is_up",
        "is_watched",
        "last_beat_ns",
        "timing",
    )

    def __init__(self, timing: LinkTiming, at_ns: int, tally: Tally) -> None:
        self.timing = timing
        self._tally = tally
        self.is_up = False
        self.is_watched = True
        self.is_heard_by_peer = False
        self.last_beat_ns = NO_BEAT_NS
        self.hold_until_ns = at_ns
        self._since_ns = at_ns
        self._mean_ns = timing.pulse_ns
        self._deviation_ns = 0
        self._unheard = 0
        self._late_ns = self._stall_ns = self._stalls = self._pressed_ns = 0

    @property
    def patience_ns_max(self) -> int:
        """The longest silence, in time that counts, after which this network is certainly judged."""
        timing = self.timing
        return timing.timeout_ns + timing.timeout_ns // JITTER_SHARE_MAX + timing.pulse_ns

    @property
    def deadline_ns(self) -> int:
        """When this network becomes silent if nothing comes."""
        return max(self._since_ns + self._excused_ns + self._patience_ns(), self.hold_until_ns)

    def beat(self, at_ns: int, *, hears_us: bool) -> bool:
        """Take a beat; return whether the network's condition changed."""
        if self.is_up:
            self._tally.gap(at_ns - self._since_ns, at_ns, self.timing.ident)
            self._learn(at_ns - self._since_ns)
        self._unheard = 0 if hears_us else self._unheard + 1
        is_heard = hears_us or (self.is_heard_by_peer and self._unheard < UNHEARD_BEATS_MIN)
        changed = not self.is_up or self.is_heard_by_peer != is_heard
        self.is_up = self.is_watched = True
        self.is_heard_by_peer = is_heard
        self.last_beat_ns = self._since_ns = max(at_ns, self._since_ns)
        self.hold_until_ns = 0
        self._forgive()
        return changed

    def fall(self) -> bool:
        """The network is silent; return whether it was up. It is not watched again before the next beat."""
        was_up = self.is_up
        self.is_up = self.is_watched = self.is_heard_by_peer = False
        return was_up

    def excuse(self, at_ns: int, late_ns: int) -> None:
        """Do not count `late_ns` of the present silence, within the bounds."""
        timeout_ns = self.timing.timeout_ns
        late_ns = min(late_ns, at_ns - self._since_ns - self._excused_ns)
        if late_ns <= 0:
            return
        if late_ns * STALL_SHARE < timeout_ns:
            self._late_ns = min(self._late_ns + late_ns, timeout_ns)
            self._tally.late += 1
        elif self._stalls < STALLS_EXCUSED_MAX:
            self._stalls += 1
            self._tally.stalls += 1
            self._stall_ns += late_ns
            self.hold_until_ns = at_ns + min(AFTER_STALL_PULSES * self.timing.pulse_ns, timeout_ns)

    def is_silent(self, at_ns: int, *, pressed: bool) -> bool:
        """Whether no beat came for the timeout; on a pressed node one more pulse is waited, once per silence."""
        if pressed:
            self._tally.pressed += self._pressed_ns == 0
            self._pressed_ns = self.timing.pulse_ns
        return at_ns >= self.deadline_ns

    def suspicion_ns(self, pulses: int) -> int:
        """Silence worth mentioning: some pulses, more when gaps vary, never more than half the timeout."""
        usual_ns = self._mean_ns + _DEVIATIONS * self._deviation_ns
        return min(max(pulses * self.timing.pulse_ns, usual_ns), max(self.timing.timeout_ns // 2, self.timing.pulse_ns))

    def account(self, at_ns: int) -> str:
        """The reasoning behind a silence, in words."""
        began = "last beat" if self.last_beat_ns != NO_BEAT_NS else "never heard, watched since"
        timing = self.timing
        words = f"{timing.ident}: {began} {_ms(at_ns - self._since_ns)} ms ago, timeout {_ms(timing.timeout_ns)} ms"
        if jitter_ns := self._jitter_ns():
            words += f", {_ms(jitter_ns)} ms more for jitter"
        if self._pressed_ns:
            words += f", {_ms(self._pressed_ns)} ms more because this node's CPUs were short of time"
        if self._late_ns:
            words += f", {_ms(self._late_ns)} ms not counted because this node ran late"
        if self._stalls:
            words += f", {_ms(self._stall_ns)} ms not counted because this node stood still {self._stalls} times"
        return words

    def _forgive(self) -> None:
        self._late_ns = self._stall_ns = self._stalls = self._pressed_ns = 0

    @property
    def _excused_ns(self) -> int:
        return self._late_ns + self._stall_ns

    def _patience_ns(self) -> int:
        return self.timing.timeout_ns + self._jitter_ns() + self._pressed_ns

    def _jitter_ns(self) -> int:
        """Patience beyond the timeout when usual gaps already use up more than half of it."""
        timeout_ns = self.timing.timeout_ns
        usual_ns = self._mean_ns + _DEVIATIONS * self._deviation_ns
        return max(0, min(usual_ns - timeout_ns // 2, timeout_ns // JITTER_SHARE_MAX))

    def _learn(self, gap_ns: int) -> None:
        gap_ns = max(0, gap_ns - self._excused_ns)
        error_ns = gap_ns - self._mean_ns
        self._deviation_ns += (abs(error_ns) - self._deviation_ns) // _GAIN_DEVIATION
        self._mean_ns += error_ns // _GAIN_MEAN


def _ms(span_ns: int) -> int:
    return span_ns // 1_000_000
