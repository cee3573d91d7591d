"""What administrators and scripts switch on and off, and actions that a module counts against maxloop itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import AuthorityRecord, State, decide, evolve, initial, rules
from holdfast.core.evolve import reconfigured, usual_switches
from holdfast.core.settings import PrivateClass, Watches
from holdfast.core.state import Resource
from holdfast.core.switching import changed_settings, is_setting, setting_names, switched
from holdfast.events.module import (
    Action,
    CommandRequested,
    LoopCounted,
    LoopReset,
    ModuleOpened,
    ProcessWatch,
    ScriptFinished,
    SettingChanged,
    WatchResources,
)
from holdfast.events.state import Role, Status
from holdfast.history.decider import dump_state, load_state
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope
from holdfast.testing.world import settings_of

APPLICATION = ProcessWatch(name="shopd", action="stopstart")
REPORTER = ProcessWatch(name="reporter", action="restart")
WATCHES = Watches(
    prim=WatchResources(processes=(APPLICATION,)), private=(PrivateClass(name="night", processes=(REPORTER,)),)
)


@pytest.fixture(scope="module")
def primary() -> State:
    state = in_step().nodes[0].state
    return replace(state, settings=replace(state.settings, watches=WATCHES))


def watched(state: State) -> set[str]:
    return {watch.name for watch in decide(state).watch.processes}


def down(state: State, name: str, action: str = "stopstart") -> State:
    return rules.with_resource(state, name, Resource(value="down", by="checker", action=action))


def test_private_class_is_watched_only_while_it_is_switched_on(primary: State) -> None:
    assert watched(primary) == {"shopd"}
    state = switched(primary, "errd.night", True)
    assert watched(state) == {"shopd", "reporter"}
    assert watched(switched(state, "errd.night", False)) == {"shopd"}
    assert watched(switched(state, "errd", False)) == set()


def test_class_of_the_scripts_can_be_switched_off(primary: State) -> None:
    state = switched(primary, "errd.prim", False)
    assert watched(state) == set()
    assert rules.wanted(down(state, "proc.shopd")) is None
    assert watched(switched(state, "errd.prim", True)) == {"shopd"}


def test_private_class_is_watched_in_no_stopped_module(primary: State) -> None:
    stopped = switched(initial(primary.settings, AuthorityRecord()), "errd.night", True)
    assert watched(stopped) == set()


@pytest.mark.parametrize(
    ("setting", "resource"), [("errd", "proc.shopd"), ("errd.prim", "proc.shopd"), ("checker", "custom.web")]
)
def test_what_was_down_before_it_was_switched_off_is_judged_anew(primary: State, setting: str, resource: str) -> None:
    state = switched(down(primary, resource), setting, False)
    assert rules.wanted(state) is None
    state = switched(state, setting, True)
    assert state.resources[resource].value == "init"
    assert rules.wanted(state) is None


def test_other_switches_do_not_touch_what_is_down(primary: State) -> None:
    state = switched(switched(down(primary, "proc.shopd"), "checker", False), "checker", True)
    assert state.resources["proc.shopd"].value == "down"


def test_settings_are_those_that_the_configuration_knows(primary: State) -> None:
    settings = primary.settings
    assert is_setting(settings, "errd.night")
    assert is_setting(settings, "errd.second")
    assert not is_setting(settings, "errd.day")
    assert not is_setting(settings, "night")
    assert {"failover", "checker", "errd", "rfssync", "errd.night"} <= set(setting_names(settings))


def test_switches_are_found_again_from_their_differences(primary: State) -> None:
    state = primary
    for name, value in (("failover", False), ("errd.night", True), ("errd.prim", False), ("rfssync", True)):
        state = switched(state, name, value)
    again = primary
    for name, value in changed_settings(state.switches, primary.switches).items():
        again = switched(again, name, value)
    assert again.switches == state.switches
    assert changed_settings(primary.switches, primary.switches) == {}


def test_another_configuration_sets_switches_back_and_the_same_one_leaves_them(primary: State) -> None:
    state = switched(switched(primary, "errd", False), "errd.night", True)
    assert reconfigured(state, state.settings).switches == state.switches
    other = replace(state.settings, signature="another")
    assert reconfigured(state, other).switches == usual_switches(other)


def test_switches_hold_over_stop_start_and_a_saved_state() -> None:
    settings = replace(settings_of(0), replication=None, addresses=(), watches=WATCHES)
    state = initial(settings, AuthorityRecord())
    for payload in (ModuleOpened(incarnation=1), SettingChanged(setting="errd.night", value=True)):
        state = evolve(state, envelope(state, payload, state.now_mono_ns + 1))
    for action in (Action.START, Action.STOP):
        state = evolve(state, envelope(state, CommandRequested(action=action), state.now_mono_ns + 1))
        while (run := decide(state).run) is not None:
            over = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=1, timed_out=False, log="")
            state = evolve(state, envelope(state, over, state.now_mono_ns + 1))
    assert (state.role, state.status) == (Role.STOP, Status.NOT_READY)
    assert load_state(dump_state(state)).switches.changed_classes == ("night",)


def test_full_resync_is_asked_for_by_the_next_start_and_then_done(primary: State) -> None:
    stopped = switched(initial(settings_of(0), AuthorityRecord()), "rfssync", True)
    started = evolve(stopped, envelope(stopped, CommandRequested(action=Action.START), 1))
    assert started.full


def test_actions_that_a_handler_counts_lead_to_the_limit_and_can_be_forgotten(primary: State) -> None:
    state = primary
    for _ in range(state.settings.maxloop):
        state = evolve(state, envelope(state, LoopCounted(by="mend"), state.now_mono_ns + 1))
    asked = CommandRequested(action=Action.RESTART, identity="mend")
    ended = evolve(state, envelope(state, asked, state.now_mono_ns + 1))
    assert ended.stopped_by_maxloop
    state = evolve(state, envelope(state, LoopReset(by="ann"), state.now_mono_ns + 1))
    assert state.loop.taken_at_mono_ns == ()
    restarted = evolve(state, envelope(state, asked, state.now_mono_ns + 1))
    assert not restarted.stopped_by_maxloop
