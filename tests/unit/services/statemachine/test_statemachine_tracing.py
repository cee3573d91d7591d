"""Which trace a transition belongs to, and what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from holdfast.core.authority import AuthorityRecord
from holdfast.core.evolve import initial
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import State
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerFound, PeerLost, PeerReported
from holdfast.events.module import Action, CommandRequested, ModuleOpened, ScriptFinished, TimerFired
from holdfast.events.state import Announcement, Copy, Role, Status
from holdfast.history.decider import step
from holdfast.ids import Epoch, Generation, ModuleId, NodeId, Session
from holdfast.telemetry import LINK, Attribute, Telemetry, new_trace, trace_id

from services.statemachine.tracing import TransitionTracer

SETTINGS = ModuleSettings(module=ModuleId("shop"), node=NodeId("node1"), peer=NodeId("node2"), signature="abc")
OWN, THEIRS, ASKED = new_trace(), new_trace(), new_trace()


@dataclass(frozen=True, kw_only=True)
class Reported:
    name: str
    trace: str
    own: str
    attributes: dict[str, Attribute]


@dataclass(kw_only=True)
class Recorder(Telemetry):
    """Keeps what would be published."""

    spans: list[Reported] = field(default_factory=list)

    def record(
        self,
        name: str,
        *,
        start_wall_ns: int,
        end_wall_ns: int,
        trace: str = "",
        own: str = "",
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        assert start_wall_ns <= end_wall_ns
        self.spans.append(Reported(name=name, trace=trace, own=own, attributes=dict(attributes or {})))
        return own


def envelope(number: int, payload: object, *, trace: str = "") -> Envelope[object]:
    return Envelope(
        id=f"node1-{number}",
        module=ModuleId("shop"),
        node=NodeId("node1"),
        source="test",
        at_wall_ns=number * 1_000_000,
        at_mono_ns=number * 1_000_000,
        hybrid=HybridTime(wall_ms=number, counter=0),
        cause="",
        trace=trace,
        payload=payload,
    )


def settled(role: Role, *, trace: str = OWN, in_step: bool = False) -> State:
    """A module at rest in a role as far as it can be alone."""
    record = AuthorityRecord(
        role=role, copy=Copy.UP_TO_DATE, in_step_session=Session("s1" if in_step else ""), incarnation=1
    )
    return replace(initial(SETTINGS, record), role=role, trace=trace)


def said(role: Role, status: Status = Status.READY, *, trace: str = THEIRS) -> PeerReported:
    announcement = Announcement(
        incarnation=1,
        number=1,
        role=role,
        status=status,
        epoch=Epoch(1),
        lineage=(Generation("node2.1.1"),),
        copy=Copy.UP_TO_DATE,
        durable_role=role,
        trace=trace,
    )
    return PeerReported(announcement=announcement)


LOST = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1000.0, evidence="")


@pytest.mark.parametrize(
    ("state", "payload", "trace", "expected"),
    [
        (settled(Role.ALONE), TimerFired(), "", OWN),
        (settled(Role.PRIM, in_step=True), TimerFired(), "", ""),
        (settled(Role.STOP), TimerFired(), "", ""),
        (settled(Role.STOP), CommandRequested(action=Action.START), ASKED, ASKED),
        (settled(Role.ALONE), CommandRequested(action=Action.STOP), ASKED, ASKED),
        (settled(Role.STOP), CommandRequested(action=Action.START), "", ""),
        (settled(Role.PRIM, in_step=True), LOST, ASKED, ASKED),
        (settled(Role.ALONE), LOST, ASKED, ASKED),
        (settled(Role.SECOND, in_step=True), said(Role.ALONE), THEIRS, THEIRS),
        (settled(Role.SECOND, in_step=True), said(Role.PRIM), THEIRS, ""),
        (settled(Role.SECOND, in_step=True), said(Role.PRIM, Status.TRANSIENT), THEIRS, THEIRS),
        (settled(Role.WAIT), said(Role.ALONE), THEIRS, THEIRS),
        (settled(Role.ALONE), said(Role.WAIT), THEIRS, OWN),
        (settled(Role.ALONE), said(Role.SECOND, Status.TRANSIENT), THEIRS, OWN),
        (settled(Role.PRIM, in_step=True), said(Role.SECOND, Status.TRANSIENT), THEIRS, THEIRS),
        (settled(Role.WAIT), said(Role.WAIT), THEIRS, OWN),
    ],
)
def test_a_transition_belongs_to_the_episode_that_it_follows_from(
    state: State, payload: object, trace: str, expected: str
) -> None:
    """Empty: it begins a trace of its own."""
    tracer = TransitionTracer(Recorder(), "shop")
    found = tracer.contextualise(state, envelope(1, payload, trace=trace)).trace
    known = {trace_id(each) for each in (OWN, THEIRS, ASKED)}
    assert trace_id(found) == trace_id(expected) if expected else trace_id(found) not in known


def test_a_start_that_finds_the_primary_in_an_episode_goes_on_in_its_trace() -> None:
    """What was before is a trace of its own; both halves name each other."""
    recorder = Recorder()
    tracer = TransitionTracer(recorder, "shop")
    state = initial(SETTINGS, AuthorityRecord(copy=Copy.UP_TO_DATE, role=Role.PRIM))
    waiting: list[object] = [
        ModuleOpened(incarnation=1),
        CommandRequested(action=Action.START, who="start of the node"),
        PeerFound(incarnation=1),
        said(Role.ALONE),
    ]
    number = 0
    while waiting:
        number += 1
        event = tracer.contextualise(state, envelope(number, waiting.pop(0), trace=ASKED if number == 2 else ""))
        after = step(state, event).state
        tracer.observe(state, after, event, now_wall_ns=event.at_wall_ns)
        state = after
        if state.running is not None and not waiting:
            run = state.running.run
            waiting.append(ScriptFinished(run=run, script="x", exit_code=0, duration_ms=1.0, timed_out=False, log=""))
    assert state.role is Role.SECOND
    transitions = [span for span in recorder.spans if span.own]
    start, *joining = transitions
    assert trace_id(start.own) == trace_id(ASKED)
    assert trace_id(str(start.attributes[LINK])) == trace_id(THEIRS)
    assert {trace_id(span.own) for span in joining} == {trace_id(THEIRS)}
    assert joining[0].trace == THEIRS
    assert trace_id(str(joining[0].attributes[LINK])) == trace_id(ASKED)
    assert joining[-1].attributes["to"] == "SECOND"
    assert trace_id(state.trace) == trace_id(THEIRS)
