"""What is watched in which state, scripts with limits of their own or none at all, and handlers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import AuthorityRecord, State, decide, evolve, initial
from holdfast.core.settings import Handler, ModuleSettings, TargetedRestart, Watches
from holdfast.core.state import HandlerRun
from holdfast.events.membership import PeerLost
from holdfast.events.module import (
    Action,
    CommandRequested,
    ModuleOpened,
    ProcessWatch,
    ResourceReported,
    RunScript,
    ScriptFinished,
    TcpWatch,
    TimerFired,
    WatchResources,
)
from holdfast.events.state import Copy, Role, Status
from holdfast.history.decider import dump_state, load_state
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope
from holdfast.testing.world import settings_of

LOST = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1000.0, evidence="no beat for 1000 ms on lan1")
GATEWAY = TcpWatch(ident="gateway", address="10.0.0.1", port=22, action="wait")
DAEMON = ProcessWatch(name="daemon", action="stopstart")
APPLICATION = ProcessWatch(name="shopd", action="stopstart")
SECOND_NS = 1_000_000_000


def after(state: State, payload: object, *, later_ns: int = 1) -> State:
    return evolve(state, envelope(state, payload, state.now_mono_ns + later_ns))


def plain(**changes: object) -> ModuleSettings:
    """A module without replication or addresses, so that nothing but scripts and checkers stands before a role."""
    return replace(settings_of(0), replication=None, addresses=(), **changes)  # type: ignore[arg-type]


def opened(settings: ModuleSettings) -> State:
    return after(initial(settings, AuthorityRecord(copy=Copy.UP_TO_DATE)), ModuleOpened(incarnation=1))


def finished(run: RunScript, exit_code: int = 0) -> ScriptFinished:
    return ScriptFinished(run=run.run, script=run.script, exit_code=exit_code, duration_ms=1.0, timed_out=False, log="")


def ran(state: State) -> tuple[State, list[str]]:
    """Let every script of the transition end well; returns their names."""
    names: list[str] = []
    while (run := decide(state).run) is not None:
        names.append(run.script)
        state = after(state, finished(run))
    return state, names


def is_watched(state: State, name: str) -> bool:
    watch = decide(state).watch
    return name in [item.name for item in watch.processes] + [item.ident for item in watch.tcp]


def said(resource: str, value: str, action: str = "") -> ResourceReported:
    return ResourceReported(resource=resource, value=value, by="checker", action=action)


@pytest.fixture
def guarded() -> State:
    """A stopped module with a tcp check and a process of class pre."""
    return opened(plain(watches=Watches(pre=WatchResources(processes=(DAEMON,), tcp=(GATEWAY,)))))


def test_pre_is_watched_from_after_prestart_until_poststop(guarded: State) -> None:
    state = after(guarded, CommandRequested(action=Action.START))
    seen: list[tuple[str, bool]] = []
    while (run := decide(state).run) is not None:
        seen.append((run.script, is_watched(state, "gateway")))
        state = after(state, finished(run))
    assert seen == [("transition", False), ("prestart", False)]
    assert (state.role, is_watched(state, "gateway"), is_watched(state, "daemon")) == (Role.WAIT, True, True)
    state = after(state, CommandRequested(action=Action.STOP))
    seen = []
    while (run := decide(state).run) is not None:
        seen.append((run.script, is_watched(state, "gateway")))
        state = after(state, finished(run))
    assert [script for script, watched in seen if watched] == ["stop_sec", "stop_prim", "stop_second", "stop_both"]
    assert [script for script, watched in seen if not watched] == ["poststop", "transition"]
    assert (state.role, is_watched(state, "gateway")) == (Role.STOP, False)


def test_module_waits_until_a_resource_of_a_wait_rule_is_known(guarded: State) -> None:
    state, _ = ran(after(after(guarded, CommandRequested(action=Action.START)), LOST))
    assert (state.role, state.status) == (Role.WAIT, Status.TRANSIENT)
    assert state.undecided_resource == "tcp.gateway"
    state, _ = ran(after(state, said("tcp.gateway", "up", "wait")))
    assert (state.role, state.status) == (Role.ALONE, Status.READY)


def test_resource_of_a_wait_rule_that_is_down_blocks_and_its_return_wakes_up(guarded: State) -> None:
    state, _ = ran(after(after(guarded, CommandRequested(action=Action.START)), LOST))
    state = after(state, said("tcp.gateway", "down", "wait"))
    assert (state.role, state.status, state.blocked_resource) == (Role.WAIT, Status.NOT_READY, "tcp.gateway")
    state, _ = ran(after(state, said("tcp.gateway", "up", "wait")))
    assert state.role is Role.ALONE


def test_pre_process_that_is_missing_stops_and_starts_a_module_that_waits(guarded: State) -> None:
    state, _ = ran(after(guarded, CommandRequested(action=Action.START)))
    state, names = ran(after(state, said("proc.daemon", "down", "stopstart")))
    assert "poststop" in names
    assert names[-1] == "prestart"


def test_what_is_watched_always_is_not_forgotten_when_the_role_becomes_ready(guarded: State) -> None:
    state, _ = ran(after(guarded, CommandRequested(action=Action.START)))
    state = after(state, said("tcp.gateway", "down", "noaction"))
    state, _ = ran(after(state, LOST))
    assert state.role is Role.ALONE
    assert state.resources["tcp.gateway"].value == "down"


def test_without_user_no_script_runs_and_the_module_starts_and_stops_all_the_same() -> None:
    state = after(after(opened(plain(runs_scripts=False)), LOST), CommandRequested(action=Action.START))
    assert decide(state).run is None
    assert (state.role, state.status, sorted(state.groups)) == (Role.ALONE, Status.READY, ["both", "prim", "sec"])
    state = after(state, CommandRequested(action=Action.STOP))
    assert (state.role, decide(state).run, state.groups) == (Role.STOP, None, frozenset())


def test_stop_scripts_have_limits_of_their_own() -> None:
    settings = plain(nice_stop_timeout_ms=7_000, force_stop_timeout_ms=9_000, script_timeout_ms=11_000)
    state, _ = ran(after(after(opened(settings), LOST), CommandRequested(action=Action.START)))
    assert state.role is Role.ALONE
    state = after(state, CommandRequested(action=Action.STOP))
    limits: dict[tuple[str, bool], int] = {}
    while (run := decide(state).run) is not None:
        limits[run.script, run.arguments[0] == "force"] = run.timeout_ms
        state = after(state, finished(run))
    assert limits["stop_prim", False] == 7_000
    assert limits["stop_prim", True] == 9_000
    assert limits["poststop", False] == limits["transition", False] == 11_000


@pytest.fixture
def handled() -> State:
    """Alone and ready, with a process that has a handler."""
    settings = plain(
        watches=Watches(prim=WatchResources(processes=(APPLICATION,))),
        handlers=(Handler(resource="proc.shopd", script="mend.sh", again_after_ms=5_000),),
    )
    state, _ = ran(after(after(opened(settings), LOST), CommandRequested(action=Action.START)))
    assert state.status is Status.READY
    return state


def test_handler_runs_instead_of_the_action(handled: State) -> None:
    state = after(handled, said("proc.shopd", "down", "stopstart"))
    orders = decide(state)
    assert orders.run is None
    assert orders.handle is not None
    assert (orders.handle.script, orders.handle.arguments) == ("mend.sh", ())
    assert (state.role, state.status) == (Role.ALONE, Status.READY)


def test_handler_that_succeeds_leaves_the_resource_to_its_checker(handled: State) -> None:
    state = after(handled, said("proc.shopd", "down", "stopstart"))
    run = decide(state).handle
    assert run is not None
    state = after(state, finished(run))
    assert (decide(state).handle, state.role, state.status) == (None, Role.ALONE, Status.READY)
    state = after(state, said("proc.shopd", "up", "stopstart"))
    assert state.handlers == ()
    assert state.loop.taken_at_mono_ns == (), "handlers do not count against maxloop"


def test_handler_runs_again_when_the_resource_stays_down(handled: State) -> None:
    state = after(handled, said("proc.shopd", "down", "stopstart"))
    first = decide(state).handle
    assert first is not None
    state = after(state, finished(first))
    wake = decide(state).wake_at_mono_ns
    assert wake == state.now_mono_ns + 5 * SECOND_NS
    state = after(state, TimerFired(), later_ns=5 * SECOND_NS)
    again = decide(state).handle
    assert again is not None
    assert again.run != first.run


def test_handler_that_fails_leads_to_stopstart(handled: State) -> None:
    state = after(handled, said("proc.shopd", "down", "stopstart"))
    run = decide(state).handle
    assert run is not None
    state = after(state, finished(run, exit_code=3))
    assert state.wish.value == "stopstart"
    assert len(state.loop.taken_at_mono_ns) == 1
    state, names = ran(state)
    assert "stop_prim" in names
    assert names[-1] in ("start_prim", "start_sec")
    assert state.status is Status.READY
    assert state.handlers == ()


def test_handler_is_not_run_while_process_monitoring_is_off(handled: State) -> None:
    state = replace(handled, switches=replace(handled.switches, errd=False))
    assert decide(after(state, said("proc.shopd", "down", "stopstart"))).handle is None


def test_state_with_a_handler_under_way_survives_its_snapshot(handled: State) -> None:
    state = after(handled, said("proc.shopd", "down", "stopstart"))
    assert load_state(dump_state(state)) == state
    assert isinstance(state.handlers[0], HandlerRun)


def test_pair_in_step_watches_nothing_more_than_before() -> None:
    for node in in_step().nodes:
        assert decide(node.state).watch.processes == ()


def test_restart_because_of_a_resource_names_its_services_to_the_scripts() -> None:
    settings = plain(targeted_restarts=(TargetedRestart(resource="proc.shop.service", services="shop, mail"),))
    state, _ = ran(after(after(opened(settings), LOST), CommandRequested(action=Action.START)))
    state = after(state, said("proc.shop.service", "down", "restart"))
    run = decide(state).run
    assert run is not None
    assert (run.script, run.arguments) == ("stop_sec", ("ALONE", "ALONE", "restart", "-Services", "shop, mail"))
    state, _ = ran(state)
    run = decide(after(state, CommandRequested(action=Action.RESTART))).run
    assert run is not None
    assert run.arguments == ("ALONE", "ALONE", "restart"), "an operator's restart is about everything"
