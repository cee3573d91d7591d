"""Turns what a module's state goes through into spans: one per transition, one child per step of it.

All transitions of one episode are one trace, on both nodes: from the moment in which the pair leaves its resting
condition (PRIM and SECOND Ready, or STOP) until both nodes are back in it. So a failover, the dead node's return and
its resynchronisation are one trace. A node that starts knows of no episode until it hears the primary: its start up to
then is a trace of its own, and both name each other in a link.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.core.peer import PRIMARY_ROLES, Presence
from holdfast.core.state import State
from holdfast.events.envelope import Envelope
from holdfast.events.membership import PeerLost, PeerReported
from holdfast.events.module import CommandRequested
from holdfast.events.state import Announcement, Role, Status
from holdfast.telemetry import LINK, Telemetry, is_trace, new_span, trace_id

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
    trace: str


class TransitionTracer:
    """Follows one module. It only watches: nothing is decided on what it knows; a restart just cuts a span short."""

    def __init__(self, telemetry: Telemetry, module: str) -> None:
        self._telemetry = telemetry
        self._module = module
        self._transition: _Transition | None = None
        self._step: _Step | None = None
        self._resync: _Step | None = None
        self._parent = ""
        self._newest = ""

    def contextualise(self, state: State, envelope: Envelope[object]) -> Envelope[object]:
        """Return the event with the trace that a transition it sets going belongs to.

        While a transition is under way everything belongs to that, save for a start that finds the primary in an
        episode: it goes on in that. Otherwise it is the trace of who asks, or of the episode under way, or a new one.
        """
        if self._transition is not None or not is_settled(state):
            joined = self._joined(state, envelope)
            if joined:
                self._parent = joined
                return replace(envelope, trace=new_span(joined))
            return replace(envelope, trace=envelope.trace if state.trace == "" else state.trace)
        self._newest = ""
        if isinstance(envelope.payload, PeerLost) and is_trace(envelope.trace):
            # The heartbeat has reported the silence as part of a span that it left to us: this transition.
            self._parent = envelope.trace
            return envelope
        self._parent = _cause_of(state, envelope)
        return replace(envelope, trace=new_span(self._parent))

    def observe(self, before: State, after: State, envelope: Envelope[object], *, now_wall_ns: int) -> None:
        """Open and close spans by comparing two states."""
        moved = (before.role, before.row) != (after.role, after.row)
        if self._transition is not None and trace_id(after.trace) != trace_id(self._transition.own):
            self._end(before, self._transition, now_wall_ns, link=after.trace)
        if self._transition is None and (moved or not is_settled(after)):
            self._begin(before, after, envelope)
        self._follow_resync(after, now_wall_ns)
        if self._transition is None:
            return
        self._follow_step(_waiting_for(after), self._transition, now_wall_ns)
        if is_settled(after):
            self._end(after, self._transition, now_wall_ns)

    def record(self, name: str, *, start_wall_ns: int, end_wall_ns: int) -> None:
        """Report work of the state machine itself inside the transition under way, or the one that ended with it."""
        if self._newest:
            self._telemetry.record(name, trace=self._newest, start_wall_ns=start_wall_ns, end_wall_ns=end_wall_ns)

    def _begin(self, before: State, after: State, envelope: Envelope[object]) -> None:
        own = after.trace if is_trace(after.trace) else envelope.trace
        if not is_trace(own):
            return
        start_ns = envelope.at_wall_ns
        attributes = {"module": self._module, "from": str(before.role), "trigger": _trigger(envelope.payload)}
        if isinstance(envelope.payload, PeerLost):
            start_ns -= int(envelope.payload.silent_ms * NS_PER_MS)
            attributes["silence_ms"] = f"{envelope.payload.silent_ms:.1f}"
        self._newest = own
        parent = self._parent if self._parent != own else ""
        if is_trace(before.trace) and not _is_at_rest(before) and trace_id(before.trace) != trace_id(own):
            attributes[LINK] = before.trace
        self._transition = _Transition(
            own=own, parent=parent, name="transition", start_wall_ns=start_ns, attributes=attributes
        )

    def _follow_step(self, name: str, transition: _Transition, now_wall_ns: int) -> None:
        if self._step is not None and self._step.name != name:
            self._end_step(self._step, now_wall_ns)
            self._step = None
        if self._step is None and name:
            self._step = _Step(name=name, start_wall_ns=now_wall_ns, trace=transition.own)

    def _end_step(self, step: _Step, now_wall_ns: int, **attributes: str | int) -> None:
        self._telemetry.record(
            step.name,
            trace=step.trace,
            start_wall_ns=step.start_wall_ns,
            end_wall_ns=now_wall_ns,
            attributes={"module": self._module, **attributes},
        )

    def _follow_resync(self, after: State, now_wall_ns: int) -> None:
        """A secondary that is settled and not ready is having its copy made equal."""
        is_behind = after.role is Role.SECOND and after.status is Status.TRANSIENT and is_settled(after)
        if self._resync is None and is_behind and after.is_replicated and is_trace(after.trace):
            self._resync = _Step(name="resynchronisation", start_wall_ns=now_wall_ns, trace=after.trace)
        elif self._resync is not None and not is_behind:
            done = after.replication.progress if after.replication is not None else None
            told = {"bytes": done.bytes_done, "files": done.files_done} if done is not None else {}
            self._end_step(self._resync, now_wall_ns, **told)
            self._resync = None

    def _end(self, after: State, transition: _Transition, now_wall_ns: int, *, link: str = "") -> None:
        """link: where the story goes on, when that is another trace."""
        if self._step is not None:
            self._end_step(self._step, now_wall_ns)
            self._step = None
        attributes = {
            **transition.attributes,
            "to": str(after.role),
            "status": str(after.status),
            "epoch": str(after.authority.epoch),
            "reason": after.reason,
        }
        if link:
            attributes[LINK] = link
        begun_as = transition.attributes["from"]
        self._telemetry.record(
            f"{begun_as} to {after.role}" if begun_as != after.role else f"{after.role} {after.status}",
            trace=transition.parent,
            own=transition.own,
            start_wall_ns=transition.start_wall_ns,
            end_wall_ns=now_wall_ns,
            attributes=attributes,
        )
        self._transition = None

    def _joined(self, state: State, envelope: Envelope[object]) -> str:
        """Return the trace of the primary's episode when this start, under way in another trace, has heard of it."""
        said = envelope.payload.announcement if isinstance(envelope.payload, PeerReported) else state.peer.said
        starts = self._transition is not None and self._transition.attributes["from"] in (Role.STOP, Role.WAIT)
        if not starts or said is None or state.peer.presence is not Presence.HEARD or state.is_primary:
            return ""
        is_other = trace_id(said.trace) != trace_id(state.trace)
        return _trace_of_peer(said) if said.role in PRIMARY_ROLES and is_other else ""


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
    if state.question:
        return "the witness answers"
    return ""


def _cause_of(state: State, envelope: Envelope[object]) -> str:
    """Return the traceparent that a transition set going by this event follows from; empty when it begins a trace."""
    own = state.trace if is_trace(state.trace) and not _is_at_rest(state) else ""
    match envelope.payload:
        case CommandRequested():
            return envelope.trace
        case PeerReported() as report if report.announcement.role in PRIMARY_ROLES or not own:
            # A node that runs the application tells its own episode's story; its peer goes along.
            theirs = _trace_of_peer(report.announcement)
            return own if own and state.is_primary else theirs or own
        case PeerReported():
            return own
        case _:
            return own or envelope.trace


def _is_at_rest(state: State) -> bool:
    """Both nodes are where they are meant to be, as far as this one can say; or this one is stopped."""
    if not is_settled(state):
        return False
    return state.role is Role.STOP or (state.role in (Role.PRIM, Role.SECOND) and state.status is Status.READY)


def _trace_of_peer(said: Announcement) -> str:
    """Return the trace of the episode that the peer is in; empty when it is at rest."""
    is_moving = said.status is Status.TRANSIENT or said.handover_session or said.broken_session or said.request
    is_in_episode = is_moving or said.role in (Role.ALONE, Role.WAIT)
    return said.trace if is_in_episode and is_trace(said.trace) else ""


def _trigger(payload: object) -> str:
    match payload:
        case CommandRequested() as command:
            return f"command {command.action}"
        case PeerLost() as lost:
            return f"peer lost: {lost.reason}"
        case _:
            return type(payload).__name__
