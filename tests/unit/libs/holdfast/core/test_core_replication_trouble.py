"""What the decider makes of replication that fails, and of addresses that cannot be set."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import State, decide, evolve, explain
from holdfast.core.steps import ADDRESSES_LIMIT_MS, NS_PER_MS
from holdfast.events.membership import PeerReported
from holdfast.events.module import AddressesReported, ScriptFinished, TimerFired
from holdfast.events.replication import ReplicationMode, ReplicationReported
from holdfast.events.state import Role, Status
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope


def after(state: State, payload: object, *, later_ns: int = 1) -> State:
    return evolve(state, envelope(state, payload, state.now_mono_ns + later_ns))


def with_scripts_done(state: State) -> State:
    """Every script that is asked for ends at once."""
    while (run := decide(state).run) is not None:
        ended = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=1, timed_out=False, log="")
        state = after(state, ended)
    return state


@pytest.fixture(scope="module")
def pair() -> tuple[State, State]:
    first, second = in_step().nodes
    return first.state, second.state


def test_secondary_whose_replication_fails_waits_and_tries_again(pair: tuple[State, State]) -> None:
    _, secondary = pair
    report = secondary.replication
    assert report is not None
    failed = with_scripts_done(after(secondary, replace(report, failed="no space left on /data")))
    assert failed.role is Role.WAIT
    off = ReplicationReported(
        mode=ReplicationMode.OFF, epoch=report.epoch, mounted=False, writable=False, connected=False
    )
    waiting = after(failed, off)
    assert waiting.status is Status.NOT_READY
    assert "no space left on /data" in explain.sentence(waiting)
    wake = decide(waiting).wake_at_mono_ns
    assert wake is not None
    assert after(waiting, TimerFired(), later_ns=wake - waiting.now_mono_ns).role is Role.SECOND


def test_primary_whose_replication_fails_goes_on_alone_and_says_that_it_is_degraded(
    pair: tuple[State, State],
) -> None:
    primary, _ = pair
    report, said = primary.replication, primary.peer.said
    assert report is not None
    assert said is not None
    failed = after(primary, replace(report, failed="the worker cannot be kept alive"))
    wake = decide(failed).wake_at_mono_ns
    assert wake is not None
    asking = after(failed, TimerFired(), later_ns=wake - failed.now_mono_ns)
    session = primary.authority.in_step_session
    assert asking.announcement.broken_session == session
    word = replace(said, number=said.number + 1, renounced_session=session)
    alone = after(asking, PeerReported(announcement=word))
    assert alone.role is Role.ALONE
    assert alone.announcement.degraded


def test_secondary_leaves_a_degraded_primary(pair: tuple[State, State]) -> None:
    _, secondary = pair
    said = secondary.peer.said
    assert said is not None
    word = replace(
        said, number=said.number + 1, role=Role.ALONE, degraded=True, lineage=("g", *said.lineage), in_step_session=""
    )
    waiting = with_scripts_done(after(secondary, PeerReported(announcement=word)))
    assert waiting.role is Role.WAIT


def test_addresses_that_cannot_be_set_do_not_keep_the_application_from_starting(pair: tuple[State, State]) -> None:
    primary, _ = pair
    waiting = replace(primary, steps=tuple(_addresses_then_start()), groups=frozenset(), addresses=None)
    begun = after(waiting, AddressesReported(held=False, present=(), problem="no such interface"))
    assert decide(begun).run is None
    late = after(begun, TimerFired(), later_ns=ADDRESSES_LIMIT_MS * NS_PER_MS)
    run = decide(late).run
    assert run is not None
    assert run.script == "start_both"


def _addresses_then_start() -> list[object]:
    from holdfast.core.row import script, wait_for
    from holdfast.core.state import StepKind

    return [wait_for(StepKind.ADDRESSES), script("start_both")]
