"""Conditions of rules: their result over present values, and what they say about themselves."""

from __future__ import annotations

import pytest
from holdfast.core.condition import Condition, Values, holds
from holdfast.core.judging import NS_PER_MS, Handling, culprits, needed, strongest, views
from holdfast.events.module import Action
from holdfast.failover.ruleset import default_rules, table_rules

from tests.unit.libs.holdfast.failover.rules_reading import rules

VALUES = Values(
    local={"tcp.web": "up", "tcp.db": "down", "intf.lan1": "up", "intf.lan2": "up", "rfs.uptodate": "up"},
    remote={"tcp.web": "down", "rfs.uptodate": "down"},
    cluster="up",
)


def _condition(text: str) -> Condition:
    return rules(f"a: if ({text}) then wait();")[0].condition


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("tcp.web == up", True),
        ("tcp.web != up", False),
        ("tcp.web", True),
        ("!tcp.web", False),
        ("tcp.none == unknown", True),
        ("tcp.none == down", False),
        ("tcp.none != up", True),
        ("remote.tcp.web == down", True),
        ("remote.tcp.none == unknown", True),
        ("local.rfs.uptodate == remote.rfs.uptodate", False),
        ("intf.* == up", True),
        ("intf.? == up", True),
        ("intf.? == down", False),
        ("tcp.* == down", False),
        ("tcp.? == down", True),
        ("tcp.? == remote.tcp.web", True),
        ("down == tcp.db", True),
        ("cluster() == up", True),
        ("tcp.web && tcp.db", False),
        ("tcp.web || tcp.db", True),
        ("(tcp.web == up) == (tcp.db == down)", True),
        ("(tcp.web == up) != (tcp.db == down)", False),
    ],
)
def test_a_condition_has_the_result_that_its_values_give_it(text: str, result: bool) -> None:
    assert holds(_condition(text), VALUES) is result


@pytest.mark.parametrize("text", ["ping.* == down", "ping.* != down", "ping.? == down", "ping.? != down"])
def test_nothing_holds_for_a_class_without_resources(text: str) -> None:
    """A rule about all heartbeats must not act in a module that has none."""
    assert not holds(_condition(text), VALUES)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("tcp.web == up", ""),
        ("tcp.web == down", "tcp.web becomes down"),
        ("tcp.web != up", "tcp.web is no longer up"),
        ("!(tcp.web == up)", "tcp.web is no longer up"),
        ("tcp.db == down && tcp.web == down", "tcp.web becomes down"),
        ("tcp.db == up && tcp.web == down", "tcp.db becomes up and tcp.web becomes down"),
        ("tcp.db == up || tcp.web == down", "tcp.db becomes up or tcp.web becomes down"),
        ("intf.? == down", "any intf.? becomes down"),
        ("intf.* == down", "every intf.* becomes down"),
        ("!(intf.? == up)", "every intf.? is no longer up"),
        ("remote.ping.? == down", "there is a resource ping and remote.ping.? becomes down"),
        ("cluster() == down", "cluster() becomes down"),
        ("(tcp.web == up) != (tcp.db == down)", "tcp.web is no longer up or tcp.db is no longer down"),
    ],
)
def test_what_would_make_it_hold_is_said(text: str, needs: str) -> None:
    assert needed(_condition(text), VALUES, wanted=True) == needs


def test_a_rule_shows_everything_that_it_looks_at() -> None:
    (view,) = views(rules("a: if (tcp.? == down && cluster() == up && remote.ip.* == up) then wait();"), VALUES)
    assert view.seen == (
        ("tcp.db", "down"),
        ("tcp.web", "up"),
        ("cluster()", "up"),
        ("remote.ip.*", "no such resource"),
    )
    assert not view.holds


def test_the_resources_behind_a_result_are_named_one_by_one() -> None:
    found = culprits(_condition("tcp.? == down || remote.tcp.web == down"), VALUES, "down")
    assert [str(each) for each in found] == ["tcp.db", "remote.tcp.web"]


def test_of_several_rules_the_strongest_action_is_taken_and_of_equals_the_first() -> None:
    asked = ("restart", "wait", "stopstart", "stopstart")
    chosen = strongest(rules("".join(f"r{n}: if (a.a) then {word}();" for n, word in enumerate(asked))))
    assert chosen is not None
    assert chosen.label == "r2"
    assert strongest(rules("n: if (a.a) then noaction();")) is None


def test_shipped_rules_are_readable_and_have_the_published_labels() -> None:
    assert [rule.label for rule in default_rules()] == [
        "module_failure",
        "interface_failure",
        "ip_failure",
        "disk_full",
        "rfs_syncat_wait",
    ]
    assert [rule.label for rule in table_rules()] == [
        "notuptodate_server",
        "degraded_server",
        "rfs_forceuptodate",
        "splitbrain_failure",
    ]


def test_without_a_handle_time_an_action_is_ripe_at_once() -> None:
    handling = Handling().looked(Action.WAIT, 5, period_ms=0)
    assert handling.is_ripe(Action.WAIT, 5, handle_time_ms=0)
    assert not handling.is_ripe(Action.STOP, 5, handle_time_ms=0)


def test_an_action_must_have_stayed_the_same_for_the_handle_time() -> None:
    second = 1000 * NS_PER_MS
    handling = Handling().looked(Action.WAIT, 5 * second, period_ms=0)
    handling = handling.looked(Action.WAIT, 7 * second, period_ms=0)
    assert not handling.is_ripe(Action.WAIT, 7 * second, handle_time_ms=3000)
    assert handling.due_mono_ns(Action.WAIT, period_ms=0, handle_time_ms=3000) == 8 * second
    assert handling.is_ripe(Action.WAIT, 8 * second, handle_time_ms=3000)
    handling = handling.looked(Action.RESTART, 7 * second, period_ms=0)
    assert not handling.is_ripe(Action.RESTART, 8 * second, handle_time_ms=3000)


def test_between_two_periods_nobody_looks() -> None:
    second = 1000 * NS_PER_MS
    handling = Handling().looked(Action.WAIT, 5 * second, period_ms=5000)
    unchanged = handling.looked(Action.NOACTION, 9 * second, period_ms=5000)
    assert unchanged == handling
    assert handling.due_mono_ns(Action.NOACTION, period_ms=5000, handle_time_ms=15_000) == 10 * second
    assert handling.due_mono_ns(Action.WAIT, period_ms=5000, handle_time_ms=15_000) == 20 * second


def test_a_late_look_does_not_make_the_handle_time_longer() -> None:
    second = 1000 * NS_PER_MS
    handling = Handling().looked(Action.WAIT, 5 * second + 70 * NS_PER_MS, period_ms=5000)
    assert handling.due_mono_ns(Action.WAIT, period_ms=5000, handle_time_ms=15_000) == 20 * second
