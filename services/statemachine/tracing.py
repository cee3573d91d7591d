"""Turns what a module's state goes through into spans: one root per transition, one child per step of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.core.state import State
from holdfast.events.envelope import Envelope
from holdfast.events.membership import PeerLost, PeerReported
from holdfast.events.module import CommandRequested
from holdfast.events.state import Announcement, Status
from holdfast.telemetry import Telemetry, is_trace, new_span

NS_PER_MS = 1_000_000


@dataclass(kw_only=True)
class _Transition:
    own: str
    parent: str
    name: str
    start_wall_ns: int
    attributes: dict[str, str]


@dataclass(kw_only=True)
class _Step:
    name: str
    start_wall_ns: int


class TransitionTracer:
    """Follows one module. It only watches: nothing is decided on what it knows; a restart just cuts a span short."""

    def __init__(self, telemetry: Telemetry, module: str) -> None:
        self._telemetry = telemetry
        self._module = module
        self._transition: _Transition | None = None
        self._step: _Step | None = None
        self._parent = ""

    def contextualise(self, state: State, envelope: Envelope[object]) -> Envelope[object]:
        """Return the event with the trace that a transition it sets going belongs to.

        While a transition is under way everything belongs to that. Otherwise it is the trace of the event, or that of
        the peer's transition, or a new one.
        """
        if self._transition is not None or not is_settled(state):
            return replace(envelope, trace=envelope.trace if state.trace == "" else state.trace)
        if isinstance(envelope.payload, PeerLost) and is_trace(envelope.trace):
            # The heartbeat has reported the silence as part of a span that it left to us: this transition.
            self._parent = envelope.trace
            return envelope
        is_of_peer = isinstance(envelope.payload, PeerReported)
        self._parent = _trace_of_peer(envelope.payload) if is_of_peer else envelope.trace
        return replace(envelope, trace=new_span(self._parent))

    def observe(self, before: State, after: State, envelope: Envelope[object], *, now_wall_ns: int) -> None:
        """Open and close spans by comparing two states."""
        moved = (before.role, before.row) != (after.role, after.row)
        if self._transition is None and (moved or not is_settled(after)):
            self._begin(before, after, envelope)
        if self._transition is None:
            return
        self._follow_step(_waiting_for(after), self._transition, now_wall_ns)
        if is_settled(after):
            self._end(after, self._transition, now_wall_ns)

    def record(self, name: str, *, start_wall_ns: int, end_wall_ns: int) -> None:
        """Report work of the state machine itself inside the transition under way."""
        if self._transition is not None:
            self._telemetry.record(
                name, trace=self._transition.own, start_wall_ns=start_wall_ns, end_wall_ns=end_wall_ns
            )

    def _begin(self, before: State, after: State, envelope: Envelope[object]) -> None:
        own = after.trace if is_trace(after.trace) else envelope.trace
        if not is_trace(own):
            return
        start_ns = envelope.at_wall_ns
        attributes = {"module": self._module, "from": str(before.role), "trigger": _trigger(envelope.payload)}
        if isinstance(envelope.payload, PeerLost):
            start_ns -= int(envelope.payload.silent_ms * NS_PER_MS)
            attributes["silence_ms"] = f"{envelope.payload.silent_ms:.1f}"
        parent = self._parent if self._parent != own else ""
        self._transition = _Transition(
            own=own, parent=parent, name="transition", start_wall_ns=start_ns, attributes=attributes
        )

    def _follow_step(self, name: str, transition: _Transition, now_wall_ns: int) -> None:
        if self._step is not None and self._step.name != name:
            start_ns = self._step.start_wall_ns
            attributes = {"module": self._module}
            self._telemetry.record(
                self._step.name,
                trace=transition.own,
                start_wall_ns=start_ns,
                end_wall_ns=now_wall_ns,
                attributes=attributes,
            )
            self._step = None
        if self._step is None and name:
            self._step = _Step(name=name, start_wall_ns=now_wall_ns)

    def _end(self, after: State, transition: _Transition, now_wall_ns: int) -> None:
        attributes = {
            **transition.attributes,
            "to": str(after.role),
            "status": str(after.status),
            "epoch": str(after.authority.epoch),
            "reason": after.reason,
        }
        self._telemetry.record(
            f"{transition.attributes['from']} to {after.role}",
            trace=transition.parent,
            own=transition.own,
            start_wall_ns=transition.start_wall_ns,
            end_wall_ns=now_wall_ns,
            attributes=attributes,
        )
        self._transition = None


def is_settled(state: State) -> bool:
    """Nothing of a transition is under way. A resynchronising secondary is settled in that sense: it may take hours."""
    if not state.is_idle or state.leaving or state.promoting or state.claiming or state.wish:
        return False
    return state.status is not Status.TRANSIENT or state.role.value in ("SECOND", "WAIT")


def _waiting_for(state: State) -> str:
    """Return what the transition waits for, in words; empty when for nothing."""
    if state.running is not None:
        return f"script {state.running.step.script}"
    if state.steps:
        return str(state.steps[0].kind)
    if state.promoting:
        return "what was received is applied"
    if state.claiming:
        return "the peer sees the claim"
    return ""


def _trace_of_peer(payload: object) -> str:
    if not isinstance(payload, PeerReported):
        return ""
    said: Announcement = payload.announcement
    is_moving = said.status is Status.TRANSIENT or said.handover_session or said.broken_session or said.request
    return said.trace if is_moving and is_trace(said.trace) else ""


def _trigger(payload: object) -> str:
    match payload:
        case CommandRequested() as command:
            return f"command {command.action}"
        case PeerLost() as lost:
            return f"peer lost: {lost.reason}"
        case _:
            return type(payload).__name__
