"""What rules do to a module: which act in which state, on whose resources, after how long, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import State, decide, evolve, rules
from holdfast.core.overview import RuleState, overview
from holdfast.core.rule import RuleSettings
from holdfast.core.state import Wish
from holdfast.events.membership import PeerLost, PeerReported
from holdfast.events.module import (
    Action,
    CommandRequested,
    ResourceReported,
    ScriptFinished,
    SettingChanged,
    TimerFired,
)
from holdfast.events.state import Role, Status
from holdfast.failover.parse import read_rules
from holdfast.failover.ruleset import rule_set, rule_settings
from holdfast.history.decider import dump_state, load_state
from holdfast.testing.explore import in_step
from holdfast.testing.snapshot import envelope

SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def pair() -> tuple[State, State]:
    first, second = (node.state for node in in_step().nodes)
    return first, second


def ruled(state: State, text: str, *, period_ms: int = 0, handle_time_ms: int = 0) -> State:
    """The state of a module with these rules beside the default ones."""
    settings = rule_settings(rule_set(read_rules([text])), period_ms=period_ms, handle_time_ms=handle_time_ms)
    return replace(state, settings=replace(state.settings, rules=settings))


def after(state: State, payload: object, *, later_ns: int = 1) -> State:
    return evolve(state, envelope(state, payload, state.now_mono_ns + later_ns))


def said(resource: str, value: str) -> ResourceReported:
    return ResourceReported(resource=resource, value=value, by="checker")


def told_by_peer(state: State, **resources: str) -> PeerReported:
    assert state.peer.said is not None
    said = state.peer.said
    values = {name.replace("_", "."): value for name, value in resources.items()}
    return PeerReported(announcement=replace(said, number=said.number + 1, resources=values))


def shown(state: State, label: str) -> RuleState:
    return next(each for each in overview(state) if each.label == label)


def test_a_rule_that_holds_acts_and_its_label_is_said(pair: tuple[State, State]) -> None:
    state = after(ruled(pair[0], "web: if (tcp.web == down) then restart();"), said("tcp.web", "down"))
    assert state.status is Status.TRANSIENT
    assert state.reason == "the application is stopped and started in place [rule web: tcp.web is down]"
    assert len(state.loop.taken_at_mono_ns) == 1, "what a rule asks for counts against maxloop"
    assert state.resources["tcp.web"].value == "init", "the application is judged anew after its restart"
    wanted = rules.wanted(with_down(pair[0], "tcp.web"))
    assert wanted is not None
    assert (wanted.label, wanted.why) == ("web", "rule web: tcp.web is down")


def with_down(state: State, name: str) -> State:
    state = ruled(state, "web: if (tcp.web == down) then restart();")
    return rules.with_resource(state, name, rules.Resource(value="down", by="checker"))


def test_a_rule_looks_at_the_other_nodes_resources(pair: tuple[State, State]) -> None:
    state = ruled(pair[0], "swap_web: if (remote.tcp.web == up && tcp.web != up) then swap();")
    state = after(state, said("tcp.web", "init"))
    assert state.wish is Wish.NONE
    state = after(state, told_by_peer(state, tcp_web="up"))
    assert state.wish is Wish.SWAP


def test_the_announcement_carries_what_the_other_nodes_rules_need(pair: tuple[State, State]) -> None:
    text = (
        "a: if (remote.tcp.? == down || remote.rfs.uptodate == down) then stop(); b: if (custom.x == up) then stop();"
    )
    state = after(ruled(pair[0], text), said("tcp.web", "up"))
    state = after(after(state, said("tcp.db", "down")), said("custom.x", "down"))
    assert state.announcement.resources == {"tcp.db": "down", "tcp.web": "up"}


def test_a_module_without_rules_about_the_other_node_tells_it_nothing(pair: tuple[State, State]) -> None:
    assert after(pair[0], said("tcp.web", "up")).announcement.resources == {}


def test_nothing_is_known_of_a_node_that_is_not_heard(pair: tuple[State, State]) -> None:
    state = ruled(
        pair[0], "a: if (remote.tcp.web == up) then restart(); b: if (remote.tcp.web == unknown) then stop();"
    )
    state = after(state, told_by_peer(state, tcp_web="up"))
    assert shown(state, "b").result is False
    lost = after(pair[0], PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1000.0, evidence=""))
    lost = ruled(lost, "b: if (remote.tcp.web == unknown) then noaction();")
    assert shown(lost, "b").result is True


def test_of_two_rules_the_stronger_action_is_taken(pair: tuple[State, State]) -> None:
    text = "r: if (custom.x == down) then restart(); s: if (custom.x == down) then stop();"
    state = after(ruled(pair[1], text), said("custom.x", "down"))
    assert state.wish is Wish.STOP


def test_a_rule_may_assign_a_resource_that_another_rule_looks_at(pair: tuple[State, State]) -> None:
    text = "a: if (tcp.a == down && tcp.b == down) then custom.all=down; b: if (custom.all == down) then stopstart();"
    state = after(ruled(pair[0], text), said("tcp.a", "down"))
    assert "custom.all" not in state.resources
    state = after(state, said("tcp.b", "down"))
    assert state.resources["custom.all"].by == "rule a"
    assert state.wish is Wish.STOPSTART


def test_two_rules_that_undo_each_other_do_not_hang_the_decider(pair: tuple[State, State]) -> None:
    text = "a: if (custom.x == up) then custom.x=down; b: if (custom.x == down) then custom.x=up;"
    state = after(ruled(pair[0], text), said("custom.x", "up"))
    assert state.resources["custom.x"].value in ("up", "down")


def test_a_rule_about_what_is_switched_off_does_not_act(pair: tuple[State, State]) -> None:
    state = after(ruled(pair[0], "a: if (tcp.web != up) then stop();"), SettingChanged(setting="checker", value=False))
    state = after(state, said("tcp.web", "down"))
    assert state.wish is Wish.NONE
    assert shown(state, "a").acts == "checkers or errd are switched off"


def test_waiting_ends_by_itself_when_the_rule_no_longer_holds_before_the_module_has_stopped(
    pair: tuple[State, State],
) -> None:
    """The gateway is back while the stop scripts still run: nobody has to say wakeup."""
    state = after(ruled(pair[1], "gw: if (ping.gw == down) then wait();"), said("ping.gw", "down"))
    assert state.wish is Wish.WAIT
    state = after(state, said("ping.gw", "up"))
    while (run := decide(state).run) is not None:
        ended = ScriptFinished(run=run.run, script=run.script, exit_code=0, duration_ms=1.0, timed_out=False, log="")
        state = after(state, ended)
    assert state.blocked_by == ""


def test_a_wait_rule_keeps_the_module_waiting_and_says_its_label(pair: tuple[State, State]) -> None:
    state = replace(pair[1], role=Role.WAIT, authority=pair[1].authority)
    state = after(ruled(state, "gw: if (ping.gw == down) then wait();"), said("ping.gw", "down"))
    assert state.blocked_by == "rule gw: ping.gw is down"
    assert shown(state, "gw").acts == "now: it keeps the module in WAIT"
    assert shown(state, "Implicit_wakeup").acts == "when rule gw no longer holds"
    state = after(state, said("ping.gw", "up"))
    assert state.blocked_by == ""


def test_an_action_that_does_not_last_for_the_handle_time_is_not_taken(pair: tuple[State, State]) -> None:
    state = ruled(pair[0], "a: if (custom.x == down) then restart();", handle_time_ms=15_000)
    state = after(state, said("custom.x", "down"))
    assert state.wish is Wish.NONE
    due = decide(state).wake_at_mono_ns
    assert due == state.now_mono_ns + 15 * SECOND_NS
    assert shown(state, "a").acts == "in 15000 ms"
    state = after(state, said("custom.x", "up"), later_ns=14 * SECOND_NS)
    state = after(state, TimerFired(), later_ns=2 * SECOND_NS)
    assert state.wish is Wish.NONE
    assert decide(state).wake_at_mono_ns is None


def test_an_action_that_lasts_for_the_handle_time_is_taken_then(pair: tuple[State, State]) -> None:
    state = ruled(pair[0], "a: if (custom.x == down) then stopstart();", handle_time_ms=15_000)
    state = after(state, said("custom.x", "down"))
    state = after(state, said("custom.y", "up"), later_ns=14 * SECOND_NS)
    assert state.wish is Wish.NONE
    state = after(state, TimerFired(), later_ns=1 * SECOND_NS)
    assert state.wish is Wish.STOPSTART


def test_with_a_period_rules_are_looked_at_once_in_each(pair: tuple[State, State]) -> None:
    state = replace(pair[0], now_mono_ns=100 * SECOND_NS)
    state = after(ruled(state, "a: if (custom.x == down) then stop();", period_ms=5_000), TimerFired())
    state = after(state, said("custom.x", "down"), later_ns=1 * SECOND_NS)
    assert state.wish is Wish.NONE
    due = decide(state).wake_at_mono_ns
    assert due == 105 * SECOND_NS
    state = after(state, TimerFired(), later_ns=due - state.now_mono_ns)
    assert state.wish is Wish.STOP


def test_a_rule_that_would_restart_for_ever_is_ended_by_maxloop(pair: tuple[State, State]) -> None:
    """`custom.x` stays up whatever is restarted."""
    state = ruled(pair[0], "a: if (custom.x == up) then restart();")
    state = replace(state, settings=replace(state.settings, runs_scripts=False))
    state = after(state, said("custom.x", "up"))
    assert state.stopped_by_maxloop


def test_every_rule_is_shown_with_what_would_make_it_act(pair: tuple[State, State]) -> None:
    text = "a: if (tcp.web == down && cluster() == up) then restart(); n: if (custom.x == up) then noaction();"
    state = after(ruled(pair[0], text), said("tcp.web", "up"))
    assert shown(state, "a").seen == (("tcp.web", "up"), ("cluster()", "up"))
    assert shown(state, "a").acts == "when tcp.web becomes down"
    assert shown(state, "n").acts.endswith("never: it asks for noaction")
    assert shown(state, "interface_failure").acts == "when there is a resource intf and intf.? becomes down"
    assert shown(state, "notuptodate_server").origin == "transition table"
    labels = [each.label for each in overview(state)]
    assert labels[0] == "a"
    assert labels[-1] == "Implicit_wakeup"


def test_a_rule_that_holds_in_a_stopped_module_waits_for_its_start(pair: tuple[State, State]) -> None:
    state = ruled(replace(pair[0], role=Role.STOP), "a: if (custom.x == down) then stop();")
    state = rules.with_resource(state, "custom.x", rules.Resource(value="down", by="checker"))
    assert shown(state, "a").acts == "when the module is started"


def test_a_module_with_rules_survives_a_snapshot(pair: tuple[State, State]) -> None:
    deep = "a: if (!(tcp.a == down && (tcp.b || !(cluster() == down))) == (intf.* != up)) then custom.x=down;"
    state = ruled(pair[0], deep, period_ms=5_000, handle_time_ms=15_000)
    state = after(state, said("tcp.a", "down"))
    assert load_state(dump_state(state)) == state


def test_an_operators_stop_is_not_held_up_by_rules(pair: tuple[State, State]) -> None:
    state = ruled(pair[0], "a: if (custom.x == down) then restart();", handle_time_ms=15_000)
    state = after(after(state, said("custom.x", "down")), CommandRequested(action=Action.STOP))
    assert state.wish is Wish.STOP


def test_without_rules_a_resource_still_acts_by_what_it_brings(pair: tuple[State, State]) -> None:
    state = replace(pair[0], settings=replace(pair[0].settings, rules=RuleSettings()))
    report = ResourceReported(resource="custom.x", value="down", by="checker", action="stop")
    state = after(state, report)
    assert state.wish is Wish.STOP
    assert state.reason.endswith("[rule c_x: custom.x is down]")
