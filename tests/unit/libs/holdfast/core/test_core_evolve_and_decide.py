"""Single steps of the decider: determinism, announcements, run ids, orders, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import AuthorityRecord, State, decide, evolve, initial
from holdfast.core.state import Data
from holdfast.events.membership import PeerFound, PeerLost, PeerReported
from holdfast.events.module import Action, CommandRequested, ModuleOpened, ScriptFinished, SettingChanged
from holdfast.events.replication import ReplicationMode, ReplicationReported, Stance
from holdfast.events.state import Copy, Role, Status
from holdfast.ids import Epoch, Session
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope
from holdfast.testing.world import settings_of

LOST = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1000.0, evidence="no beat for 1000 ms on lan1")


def after(state: State, payload: object, *, later_ns: int = 1) -> State:
    return evolve(state, envelope(state, payload, state.now_mono_ns + later_ns))


@pytest.fixture(scope="module")
def pair() -> tuple[State, State]:
    first, second = in_step().nodes
    return first.state, second.state


@pytest.fixture
def stopped() -> State:
    return after(initial(settings_of(0), AuthorityRecord()), ModuleOpened(incarnation=4))


def test_same_events_give_the_same_state(stopped: State) -> None:
    start = envelope(stopped, CommandRequested(action=Action.START), 5)
    assert evolve(stopped, start) == evolve(stopped, start)


def test_run_id_is_unique_and_made_from_node_incarnation_and_counter(stopped: State) -> None:
    started = after(stopped, CommandRequested(action=Action.START))
    run = decide(started).run
    assert run is not None
    assert (run.run, run.script, run.arguments) == ("node1-4-1", "transition", ("STOP", "WAIT", "start"))
    finished = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=1.0, timed_out=False, log="")
    following = decide(after(started, finished)).run
    assert following is not None
    assert (following.run, following.script) == ("node1-4-2", "prestart")


def test_repeated_result_of_an_older_run_changes_nothing(stopped: State) -> None:
    started = after(stopped, CommandRequested(action=Action.START))
    other = ScriptFinished(run="node1-3-9", script="x", exit_code=0, duration_ms=1.0, timed_out=False, log="")
    assert decide(after(started, other)).run == decide(started).run


def test_number_grows_with_a_change_and_not_with_what_was_seen(pair: tuple[State, State]) -> None:
    primary, _ = pair
    said = primary.peer.said
    assert said is not None
    seen = after(primary, PeerReported(announcement=replace(said, number=said.number + 1)))
    assert seen.announcement.number == primary.announcement.number
    assert seen.announcement.seen == said.number + 1
    lost = after(seen, LOST)
    assert lost.announcement.number > primary.announcement.number


def test_older_announcement_is_ignored(pair: tuple[State, State]) -> None:
    primary, _ = pair
    said = primary.peer.said
    assert said is not None
    old = replace(said, number=said.number - 1, role=Role.STOP)
    assert after(primary, PeerReported(announcement=old)).peer.said == said


def test_secondary_takes_over_in_two_orders(pair: tuple[State, State]) -> None:
    _, secondary = pair
    preparing = after(secondary, LOST)
    order = decide(preparing).replicate
    assert order is not None
    assert (order.mode, order.stance) == (ReplicationMode.PRIMARY, Stance.DRAIN)
    assert order.epoch == secondary.authority.epoch
    assert preparing.authority == secondary.authority
    applied = ReplicationReported(
        mode=ReplicationMode.PRIMARY,
        epoch=order.epoch,
        mounted=True,
        writable=False,
        connected=False,
        applied_all=True,
    )
    acting = after(preparing, applied)
    order = decide(acting).replicate
    assert order is not None
    assert order.stance is Stance.ALONE
    assert order.epoch == secondary.authority.epoch + 1
    assert acting.role is Role.ALONE
    assert acting.authority.took_over
    assert decide(acting).addresses.held


def test_primary_found_again_before_the_record_stops_the_takeover(pair: tuple[State, State]) -> None:
    _, secondary = pair
    preparing = after(secondary, LOST)
    found = after(preparing, PeerFound(incarnation=1))
    assert found.role is Role.SECOND
    assert not found.promoting
    assert found.authority.copy is Copy.RESYNCING
    assert found.data is Data.SECONDARY


def test_primary_freezes_until_the_secondary_has_renounced(pair: tuple[State, State]) -> None:
    primary, _ = pair
    session = primary.authority.in_step_session
    report = primary.replication
    assert report is not None
    broken = after(primary, replace(report, broken_session=session, in_step_session=Session(""), connected=False))
    order = decide(broken).replicate
    assert order is not None
    assert order.stance is Stance.IN_STEP
    assert broken.announcement.broken_session == ""
    wake = decide(broken).wake_at_mono_ns
    assert wake is not None
    asking = after(broken, SettingChanged(setting="checker", value=True), later_ns=wake - broken.now_mono_ns)
    assert asking.announcement.broken_session == session
    said = asking.peer.said
    assert said is not None
    word = replace(said, number=said.number + 1, renounced_session=session, in_step_session=Session(""))
    alone = after(asking, PeerReported(announcement=word))
    assert alone.role is Role.ALONE
    assert alone.authority.epoch == primary.authority.epoch + 1


def test_refusal_names_the_command_and_lasts_for_one_event(pair: tuple[State, State]) -> None:
    primary, _ = pair
    refused = after(primary, CommandRequested(action=Action.SECOND))
    assert refused.refusal is not None
    assert refused.refusal.command == "e"
    assert "use swap" in refused.refusal.reason
    assert after(refused, SettingChanged(setting="errd", value=True)).refusal is None


def test_new_incarnation_begins_stopped_with_its_record(pair: tuple[State, State]) -> None:
    primary, _ = pair
    reborn = after(primary, ModuleOpened(incarnation=2))
    assert (reborn.role, reborn.status) == (Role.STOP, Status.NOT_READY)
    assert replace(reborn.authority, incarnation=1) == primary.authority
    assert not decide(reborn).addresses.held


def test_same_incarnation_resumes_where_it_was(pair: tuple[State, State]) -> None:
    primary, _ = pair
    resumed = after(primary, ModuleOpened(incarnation=1))
    assert resumed.role is Role.PRIM
    assert decide(resumed) == decide(primary)


def test_crashed_secondary_that_acknowledged_from_memory_is_outdated(pair: tuple[State, State]) -> None:
    _, secondary = pair
    link = secondary.settings.replication
    assert link is not None
    in_memory = replace(link, settings=replace(link.settings, acknowledge_on_disk=False))
    state = replace(secondary, settings=replace(secondary.settings, replication=in_memory))
    assert after(state, ModuleOpened(incarnation=2)).authority.copy is Copy.OUTDATED
    assert after(secondary, ModuleOpened(incarnation=2)).authority.copy is Copy.UP_TO_DATE


def test_epoch_of_a_new_primary_is_above_both(pair: tuple[State, State]) -> None:
    _, secondary = pair
    said = secondary.peer.said
    assert said is not None
    seen = after(secondary, PeerReported(announcement=replace(said, number=said.number + 1, epoch=Epoch(9))))
    preparing = after(seen, LOST)
    applied = ReplicationReported(
        mode=ReplicationMode.PRIMARY, epoch=Epoch(1), mounted=True, writable=False, connected=False, applied_all=True
    )
    assert after(preparing, applied).authority.epoch == 10
