"""What a node does when it has lost the other one and a witness decides."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from holdfast.core import State, decide, evolve, explain
from holdfast.core.invariants import broken_by
from holdfast.core.resources import local_values
from holdfast.core.state import Data, StepKind
from holdfast.events.membership import PeerFound, PeerLost
from holdfast.events.module import (
    Action,
    AddressesReported,
    CommandRequested,
    ModuleOpened,
    ScriptFinished,
    TimerFired,
    WitnessKind,
    WitnessReported,
    WitnessWatch,
)
from holdfast.events.replication import ReplicationMode
from holdfast.events.state import Role, Status
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope
from holdfast.testing.world import Variant

LOST = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1000.0, evidence="")
KINDS = [WitnessKind.PING, WitnessKind.LEASE]
SECOND_NS = 10**9


@cache
def pair(kind: WitnessKind | None, replicated: bool = True) -> tuple[State, State]:
    first, second = in_step(Variant(witness=kind, replicated=replicated)).nodes
    return first.state, second.state


def after(state: State, *payloads: object, later_ns: int = 1) -> State:
    for payload in payloads:
        state = evolve(state, envelope(state, payload, state.now_mono_ns + later_ns))
        assert broken_by(state) == ()
    return state


def answer(state: State, *, granted: bool, reachable: bool = True) -> WitnessReported:
    why = "" if granted else "the witness has let node9 act"
    return WitnessReported(ident="third", reachable=reachable, question=state.question, granted=granted, why=why)


def told(state: State) -> WitnessWatch:
    (watch,) = decide(state).watch.witnesses
    return watch


def settled(state: State) -> State:
    """With every script run and the addresses as they are wanted."""
    while (run := decide(state).run) is not None:
        over = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=1.0, timed_out=False, log="")
        state = after(state, over)
        held = decide(state).addresses.held
        state = after(state, AddressesReported(held=held, present=("10.0.0.100",) if held else ()))
    return state


def test_without_a_witness_nothing_is_asked_and_nothing_is_waited_for() -> None:
    primary, secondary = (after(state, LOST) for state in pair(None))
    assert primary.role is Role.ALONE
    assert secondary.promoting
    assert decide(primary).watch.witnesses == ()
    assert "splitbrain.uptodate" not in local_values(primary)


@pytest.mark.parametrize("kind", KINDS)
def test_in_step_nothing_is_asked_but_the_witness_is_kept_in_touch_with(kind: WitnessKind) -> None:
    for state in pair(kind):
        watch = told(state)
        assert (watch.question, watch.in_step, watch.acting) == ("", True, False)
        assert local_values(state)["splitbrain.uptodate"] == "up"


@pytest.mark.parametrize("kind", KINDS)
def test_both_wait_for_an_answer_when_they_lose_each_other(kind: WitnessKind) -> None:
    primary, secondary = (after(state, LOST) for state in pair(kind))
    assert (primary.role, secondary.role) == (Role.PRIM, Role.SECOND)
    assert not secondary.promoting
    assert secondary.status is Status.TRANSIENT
    for state in (primary, secondary):
        assert told(state).question
        assert "but the witness has not answered yet" in explain.sentence(state)


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_granted_goes_on(kind: WitnessKind) -> None:
    primary, secondary = (after(state, LOST) for state in pair(kind))
    primary = after(primary, answer(primary, granted=True))
    assert primary.role is Role.ALONE
    assert (told(primary).question, told(primary).acting) == ("", True)
    assert after(secondary, answer(secondary, granted=True)).promoting


@pytest.mark.parametrize("kind", KINDS)
def test_refused_primary_promises_nothing_lets_go_and_waits_with_its_record_in_step(kind: WitnessKind) -> None:
    primary = after(pair(kind)[0], LOST)
    refused = after(primary, answer(primary, granted=False))
    orders = decide(refused)
    assert (refused.role, refused.data, orders.addresses.held) == (Role.PRIM, Data.FENCED, False)
    assert orders.replicate is not None
    assert orders.replicate.mode is ReplicationMode.SECONDARY
    assert orders.replicate.fence_epoch > 2**60
    assert local_values(refused)["splitbrain.uptodate"] == "down"
    waiting = settled(after(refused, AddressesReported(held=False, present=())))
    assert waiting.role is Role.WAIT
    assert waiting.is_in_step
    assert waiting.authority == primary.authority
    assert "may have gone on alone" in explain.sentence(replace(waiting, steps=()))


def test_refused_secondary_leaves_for_wait() -> None:
    secondary = after(pair(WitnessKind.LEASE)[1], LOST)
    refused = after(secondary, answer(secondary, granted=False))
    assert (refused.role, refused.row) == (Role.WAIT, "isolated secondary")
    assert refused.is_in_step


def test_secondary_that_does_not_reach_its_ping_witness_waits_and_one_with_a_lease_goes_on_asking() -> None:
    pinged, leased = (after(pair(kind)[1], LOST) for kind in KINDS)
    pinged = after(pinged, answer(pinged, granted=False, reachable=False))
    assert pinged.role is Role.WAIT
    leased = after(leased, answer(leased, granted=False, reachable=False))
    assert (leased.role, leased.status) == (Role.SECOND, Status.TRANSIENT)
    assert after(leased, answer(leased, granted=True)).promoting


def test_answer_to_an_older_question_counts_for_nothing() -> None:
    secondary = after(pair(WitnessKind.LEASE)[1], LOST)
    old = answer(secondary, granted=True)
    again = after(secondary, PeerFound(incarnation=1), LOST)
    assert told(again).question != old.question
    assert not after(again, old).promoting


def test_what_was_granted_is_not_taken_back_by_a_witness_that_goes_away() -> None:
    secondary = after(pair(WitnessKind.LEASE)[1], LOST)
    promoting = after(secondary, answer(secondary, granted=True))
    assert after(promoting, answer(promoting, granted=False, reachable=False)).promoting


def test_nobody_asks_while_the_other_node_is_heard() -> None:
    secondary = after(pair(WitnessKind.LEASE)[1], LOST, PeerFound(incarnation=1))
    assert told(secondary).question == ""
    assert (secondary.role, secondary.status) == (Role.SECOND, Status.READY)


def test_witness_whose_checker_says_nothing_counts_as_not_reached() -> None:
    primary = after(pair(WitnessKind.LEASE)[0], LOST)
    wake = decide(primary).wake_at_mono_ns
    assert wake is not None
    late = after(primary, TimerFired(), later_ns=wake - primary.now_mono_ns)
    assert late.row == "isolated primary"


def test_primary_that_was_stopping_when_it_is_refused_ends_though_nothing_can_be_drained() -> None:
    primary = after(pair(WitnessKind.LEASE)[0], CommandRequested(action=Action.STOP), LOST)
    refused = settled(after(primary, answer(primary, granted=False), AddressesReported(held=False, present=())))
    assert refused.role is Role.WAIT
    assert refused.handover_session == ""
    assert refused.is_in_step
    assert StepKind.DRAIN not in {step.kind for step in refused.steps}


def test_operators_prim_needs_no_witness() -> None:
    primary = after(pair(WitnessKind.LEASE)[0], LOST)
    stopped = State(settings=primary.settings, authority=primary.authority)
    opened = after(stopped, ModuleOpened(incarnation=9), LOST, CommandRequested(action=Action.PRIM))
    assert settled(opened).role is Role.ALONE


def test_node_that_was_alone_asks_before_it_starts_without_the_other() -> None:
    primary = after(pair(WitnessKind.LEASE)[0], LOST)
    alone = after(primary, answer(primary, granted=True))
    stopped = State(settings=alone.settings, authority=alone.authority)
    waiting = settled(after(stopped, ModuleOpened(incarnation=9), LOST, CommandRequested(action=Action.START)))
    assert waiting.role is Role.WAIT
    assert told(waiting).question
    assert "but the witness has not answered yet" in explain.sentence(waiting)
    assert after(waiting, answer(waiting, granted=True)).role is Role.ALONE


def test_resource_of_the_witness_says_whether_it_is_reached() -> None:
    primary = pair(WitnessKind.LEASE)[0]
    for reachable, value in ((True, "up"), (False, "down")):
        report = WitnessReported(ident="third", reachable=reachable)
        assert after(primary, report).resources["splitbrain.third"].value == value


def test_no_switch_turns_the_witness_off() -> None:
    primary = pair(WitnessKind.LEASE)[0]
    off = replace(primary, switches=replace(primary.switches, checker=False))
    assert decide(off).watch.witnesses == decide(primary).watch.witnesses
