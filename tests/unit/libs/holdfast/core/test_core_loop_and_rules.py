"""Loop protection, and what resources that go down ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import evolve, rules
from holdfast.core.loop import NS_PER_S, LoopCounter
from holdfast.core.state import Resource, State
from holdfast.events.module import Action, CommandRequested, LoopCounted
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope

LIMITS = {"maxloop": 3, "loop_interval_s": 60}


@pytest.fixture(scope="module")
def primary() -> State:
    return in_step().nodes[0].state


def test_fourth_action_within_the_interval_is_not_allowed() -> None:
    counter = LoopCounter()
    for second in (1, 2, 3):
        assert counter.allows(second * NS_PER_S, **LIMITS)
        counter = counter.counted(second * NS_PER_S, **LIMITS)
    assert not counter.allows(4 * NS_PER_S, **LIMITS)


def test_actions_are_forgotten_after_the_interval() -> None:
    counter = LoopCounter(taken_at_mono_ns=(1, 2, 3))
    assert counter.allows(100 * NS_PER_S, **LIMITS)


def test_interval_of_zero_switches_the_protection_off() -> None:
    counter = LoopCounter(taken_at_mono_ns=(1, 2, 3))
    assert counter.allows(4, maxloop=3, loop_interval_s=0)
    assert counter.counted(4, maxloop=3, loop_interval_s=0) == counter


def test_counter_never_grows_beyond_maxloop() -> None:
    counter = LoopCounter()
    for second in range(100):
        counter = counter.counted(second, **LIMITS)
    assert len(counter.taken_at_mono_ns) == 3


@pytest.mark.parametrize(
    ("name", "action", "asked"),
    [
        ("proc.postgres", "stopstart", Action.STOPSTART),
        ("proc.postgres", "restart", Action.RESTART),
        ("tcp.web", "", Action.RESTART),
        ("intf.10.0.0.0", "", Action.WAIT),
        ("custom.mine", "", None),
        ("custom.mine", "noaction", None),
        ("custom.mine", "stop", Action.STOP),
        ("custom.mine", "rubbish", None),
        ("heartbeat.lan1", "", None),
    ],
)
def test_resource_that_goes_down_asks_for_its_action(
    primary: State, name: str, action: str, asked: Action | None
) -> None:
    state = rules.with_resource(primary, name, Resource(value="down", by="checker", action=action))
    wanted = rules.wanted(state)
    assert (wanted.action if wanted else None) is asked


def test_switched_off_checkers_ask_for_nothing(primary: State) -> None:
    state = rules.with_resource(primary, "tcp.web", Resource(value="down", by="checker"))
    state = replace(state, switches=replace(state.switches, checker=False))
    assert rules.wanted(state) is None


def test_resources_are_bounded(primary: State) -> None:
    state = primary
    for number in range(rules.RESOURCES_MAX + 50):
        state = rules.with_resource(state, f"custom.r{number}", Resource(value="up", by="checker"))
    assert len(state.resources) == rules.RESOURCES_MAX


def test_what_was_said_about_an_application_being_moved_is_judged_anew(primary: State) -> None:
    state = rules.with_resource(primary, "tcp.web", Resource(value="down", by="checker"))
    assert rules.judged_anew(state).resources["tcp.web"].value == "init"


@pytest.mark.parametrize(
    ("command", "reboots"),
    [
        (CommandRequested(action=Action.STOPSTART, identity="checker"), 1),
        (CommandRequested(action=Action.STOPSTART, who="operator"), 0),
        (CommandRequested(action=Action.RESTART, identity="checker"), 0),
    ],
)
def test_only_an_automatic_stopstart_asks_for_a_reboot(primary: State, command: CommandRequested, reboots: int) -> None:
    assert evolve(primary, envelope(primary, command, primary.now_mono_ns + 1)).reboots == 0
    state = replace(primary, settings=replace(primary.settings, automatic_reboot=True))
    assert evolve(state, envelope(state, command, state.now_mono_ns + 1)).reboots == reboots


def test_action_that_loop_protection_forbids_does_not_reboot(primary: State) -> None:
    state = replace(primary, settings=replace(primary.settings, automatic_reboot=True, maxloop=0))
    command = CommandRequested(action=Action.STOPSTART, identity="checker")
    after = evolve(state, envelope(state, command, state.now_mono_ns + 1))
    assert (after.reboots, after.stopped_by_maxloop) == (0, True)


def test_actions_from_before_a_reboot_are_counted_with_their_age(primary: State) -> None:
    state = replace(primary, settings=replace(primary.settings, loop_interval_s=60))
    for ago_ms in (61_000, 59_000, 0):
        state = evolve(state, envelope(state, LoopCounted(by="reboot", ago_ms=ago_ms), state.now_mono_ns + 1))
    assert len(state.loop.recent(state.now_mono_ns, 60)) == 2
