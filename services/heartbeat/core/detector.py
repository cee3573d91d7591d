"""PURE failure detector of one peer in one module: beats, ticks and evidence in, verdicts out.

The caller owns clock, sockets and threads, and has these duties:

1. Times are CLOCK_MONOTONIC nanoseconds of this node and never go back from call to call.
2. Before every `tick` everything that has already been received is handed over with `beat`, `goodbye` and `lifeline`;
   after a stall the backlog of beats must not be mistaken for silence.
3. `tick` is called at the latest at `deadline_ns`, and with how late the call is (`late_ns`): time in which this
   process could not look does not count as the peer's silence.

Judgement. A network is silent when no beat came for its timeout. The peer is lost when every network is silent, or
when its kernel says that its processes are gone (a lifeline connection was closed and a new one is refused) and it
has not answered for EVIDENCE_SILENCE_MIN_NS, or when it said goodbye.

Self-doubt has bounds, so that a real loss is found in bounded time (`patience_ns_max`):
lateness of this process is excused up to one timeout per silence, whole stalls a few times per silence,
jitter seen earlier up to a quarter of the timeout, pressure on the CPUs one pulse (`services.heartbeat.core.link`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.heartbeat.core.link import NO_BEAT_NS, Link, LinkTiming
from services.heartbeat.core.tally import Tally

EVIDENCE_SILENCE_MIN_NS = 150_000_000
"""How long a peer whose lifeline is refused must leave every beat and question unanswered before it is lost.

A heartbeat service that was killed is back in 50 to 100 ms; half as much again keeps it from being mistaken."""
EVIDENCE_QUESTIONS_MIN = 3
"""Unanswered questions within that time: one lost datagram or two are not taken for death."""
SUSPICION_PULSES = 3
"""Missing beats in a row that are worth telling people about."""


class Reason(StrEnum):
    """Why the peer is lost; the words of the published event."""

    SILENCE = "silence"
    EVIDENCE = "evidence"
    LAST_WORDS = "last_words"
    NEVER = "never"


class Lifeline(StrEnum):
    """The connection to the peer's supervisor on one network.

    REFUSED: it stood, was closed by the peer's kernel, and a new one was refused by the peer's kernel.
    UNKNOWN: everything else (never connected, timed out, network unreachable); says nothing.
    """

    UNKNOWN = "unknown"
    OPEN = "open"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The peer is heard (again)."""

    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspected:
    """Silence longer than usual on every network."""

    at_ns: int
    silent_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The verdict. last_heard_ns is 0 when the peer was never heard."""

    at_ns: int
    reason: Reason
    last_heard_ns: int
    silent_ns: int
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkChanged:
    """One network came up or went down, or the peer began or ceased to hear us there."""

    at_ns: int
    ident: str
    up: bool
    heard_by_peer: bool


Verdict = Found | Suspected | Lost | LinkChanged


class Detector:
    """The judgement about one peer. `is_present` is None until the first verdict."""

    def __init__(self, links: tuple[LinkTiming, ...], *, started_ns: int) -> None:
        self.tally = Tally()
        self._links = {timing.ident: Link(timing, started_ns, self.tally) for timing in links}
        self._lifelines: dict[str, tuple[Lifeline, int]] = {}
        self._present: bool | None = None
        self._last_beat_ns = NO_BEAT_NS
        self._started_ns = started_ns
        self._suspected = False
        self._refused_at_ns = NO_BEAT_NS
        self._questions = 0

    @property
    def is_present(self) -> bool | None:
        return self._present

    @property
    def patience_ns_max(self) -> int:
        """The longest silence, in time during which this process could run, that is ever waited for."""
        return max((link.patience_ns_max for link in self._links.values()), default=0)

    def configure(self, links: tuple[LinkTiming, ...], *, at_ns: int) -> None:
        """Take another set of networks; those that stay keep what is known about them."""
        kept = self._links
        self._links = {}
        for timing in links:
            link = kept.get(timing.ident)
            if link is None:
                link = Link(timing, at_ns, self.tally)
            else:
                link.timing = timing
            self._links[timing.ident] = link
        self._lifelines = {ident: seen for ident, seen in self._lifelines.items() if ident in self._links}

    def links(self) -> tuple[LinkChanged, ...]:
        """The networks as they now stand, for repetition on request."""
        return tuple(
            LinkChanged(at_ns=link.last_beat_ns, ident=ident, up=link.is_up, heard_by_peer=link.is_heard_by_peer)
            for ident, link in self._links.items()
        )

    def hears(self, ident: str) -> bool:
        """Whether beats of the peer now arrive on this network; carried in our own beats."""
        link = self._links.get(ident)
        return link is not None and link.is_up

    def beat(self, ident: str, at_ns: int, *, hears_us: bool) -> list[Verdict]:
        """A genuine, fresh beat arrived; `hears_us` is what it says about our beats on this network."""
        link = self._links.get(ident)
        if link is None:
            return []
        verdicts: list[Verdict] = []
        if link.beat(at_ns, hears_us=hears_us):
            verdicts.append(_changed(link, at_ns))
        self._heard(at_ns)
        if self._present is not True:
            self._present = True
            verdicts.append(Found(at_ns=at_ns))
        return verdicts

    def goodbye(self, ident: str, at_ns: int, why: str) -> list[Verdict]:
        """A genuine, fresh beat said that its sender gives up whatever it holds; the network itself works."""
        link = self._links.get(ident)
        if link is None:
            return []
        verdicts: list[Verdict] = [_changed(link, at_ns)] if link.beat(at_ns, hears_us=link.is_heard_by_peer) else []
        self._heard(at_ns)
        if self._present is not False:
            verdicts.append(self._lose(at_ns, Reason.LAST_WORDS, f"it said goodbye on {ident}: {why}"))
        return verdicts

    def lifeline(self, ident: str, at_ns: int, state: Lifeline) -> None:
        """The lifeline on one network changed; judged at the next tick, which is due at `deadline_ns`."""
        if ident not in self._links:
            return
        self._lifelines[ident] = (state, at_ns)
        if state is Lifeline.REFUSED and self._refused_at_ns == NO_BEAT_NS:
            self._refused_at_ns = at_ns
            self._questions = 0
        elif not any(seen is Lifeline.REFUSED for seen, _ in self._lifelines.values()) or state is Lifeline.OPEN:
            self._refused_at_ns = NO_BEAT_NS

    def wants_answer(self) -> bool:
        """Whether beats should ask the peer to answer at once: its lifeline is refused and it is not yet lost."""
        return self._refused_at_ns != NO_BEAT_NS and self._present is True

    def asked(self) -> None:
        """A beat that asks for an answer was sent on every network that works."""
        self._questions += 1

    def is_wary(self, at_ns: int) -> bool:
        """Whether the peer is silent for longer than usual, so that this node's own condition should be measured."""
        return self._present is True and at_ns - self._last_beat_ns > self._suspicion_ns()

    def tick(self, at_ns: int, *, late_ns: int = 0, pressed: bool = False) -> list[Verdict]:
        """Judge. late_ns: how much later than asked this process runs. pressed: this node's CPUs are short of time."""
        for link in self._links.values():
            link.excuse(at_ns, late_ns)
        verdicts: list[Verdict] = []
        silent = True
        for link in self._links.values():
            link_is_silent = link.is_silent(at_ns, pressed=pressed)
            if link_is_silent and link.fall():
                verdicts.append(_changed(link, at_ns))
            silent = silent and link_is_silent
        if self._present is False or not self._links:
            return verdicts
        if silent:
            reason = Reason.SILENCE if self._present else Reason.NEVER
            verdicts.append(self._lose(at_ns, reason, self._account(at_ns)))
        elif self._is_evident(at_ns):
            verdicts.extend(self._fall_all(at_ns))
            verdicts.append(self._lose(at_ns, Reason.EVIDENCE, self._refusal(at_ns)))
        elif not self._suspected and self.is_wary(at_ns):
            self._suspected = True
            self.tally.suspected += 1
            verdicts.append(Suspected(at_ns=at_ns, silent_ns=at_ns - self._last_beat_ns))
        return verdicts

    @property
    def deadline_ns(self) -> int | None:
        """When the next tick is due at the latest; None while only an input can change anything."""
        due = [link.deadline_ns for link in self._links.values() if link.is_watched]
        if self._present is True:
            if not self._suspected:
                due.append(self._last_beat_ns + self._suspicion_ns() + 1)
            if self._refused_at_ns != NO_BEAT_NS and self._questions >= EVIDENCE_QUESTIONS_MIN:
                due.append(self._evident_ns())
        return min(due, default=None)

    def _heard(self, at_ns: int) -> None:
        self._last_beat_ns = max(self._last_beat_ns, at_ns)
        self._suspected = False
        self._questions = 0

    def _suspicion_ns(self) -> int:
        return min((link.suspicion_ns(SUSPICION_PULSES) for link in self._links.values()), default=0)

    def _evident_ns(self) -> int:
        hold_ns = max((link.hold_until_ns for link in self._links.values()), default=0)
        return max(max(self._refused_at_ns, self._last_beat_ns) + EVIDENCE_SILENCE_MIN_NS, hold_ns)

    def _is_evident(self, at_ns: int) -> bool:
        return (
            self._present is True
            and self._refused_at_ns != NO_BEAT_NS
            and self._questions >= EVIDENCE_QUESTIONS_MIN
            and at_ns >= self._evident_ns()
        )

    def _fall_all(self, at_ns: int) -> list[Verdict]:
        return [_changed(link, at_ns) for link in self._links.values() if link.fall()]

    def _lose(self, at_ns: int, reason: Reason, evidence: str) -> Lost:
        self._present = False
        self.tally.lost += 1
        heard = self._last_beat_ns != NO_BEAT_NS
        return Lost(
            at_ns=at_ns,
            reason=reason,
            last_heard_ns=self._last_beat_ns if heard else 0,
            silent_ns=at_ns - (self._last_beat_ns if heard else self._started_ns),
            evidence=evidence,
        )

    def _account(self, at_ns: int) -> str:
        return "; ".join(link.account(at_ns) for link in self._links.values())

    def _refusal(self, at_ns: int) -> str:
        idents = sorted(ident for ident, (state, _) in self._lifelines.items() if state is Lifeline.REFUSED)
        return (
            f"lifeline closed and refused on {', '.join(idents)} {_ms(at_ns - self._refused_at_ns)} ms ago; "
            f"{self._questions} questions unanswered; last beat {_ms(at_ns - self._last_beat_ns)} ms ago"
        )


def _changed(link: Link, at_ns: int) -> LinkChanged:
    return LinkChanged(
        at_ns=at_ns, ident=link.timing.ident, up=link.is_up, heard_by_peer=link.is_up and link.is_heard_by_peer
    )


def _ms(span_ns: int) -> int:
    return span_ns // 1_000_000
