"""All rules of a module together: the operator's, those of checkers, the default ones and the table's."""

from __future__ import annotations

from holdfast.config.model import Position
from holdfast.core.rule import Origin, Rule, own_rule
from holdfast.events.module import Action
from holdfast.failover.parse import Written
from holdfast.failover.ruleset import check_rules, rule_set

from tests.unit.libs.holdfast.failover.rules_reading import read

CHECKERS = (own_rule("tcp.web", Action.RESTART), own_rule("proc.nginx", Action.STOPSTART))
LUA_DISABLES = '--Lua Rules\nRules.disable("{}")'


def _set(written: Written, *, extends: bool) -> tuple[Rule, ...]:
    disabled = [each.label for each in written.disabled]
    return rule_set([each.rule for each in written.rules], CHECKERS, disabled=disabled, extends=extends)


def _checked(*texts: str, extends: bool = True) -> tuple[list[str], list[str]]:
    """Problems and warnings about rules as a whole."""
    written, report = read(*texts)
    known = {"tcp": ("web",), "proc": ("nginx",), "heartbeat": ("lan1",)}
    check_rules(written, CHECKERS, known, extends=extends, at=Position(line=9, column=3), report=report)
    return [str(problem) for problem in report.problems], [str(warning) for warning in report.warnings]


def test_the_operators_rules_come_first_and_take_the_place_of_others_with_their_label() -> None:
    written, _ = read("ip_failure: if (ip.* == down) then wait(); t_web: if (tcp.web == down) then stop();")
    chosen = [rule for rule in _set(written, extends=True) if rule.is_in_force]
    assert [rule.label for rule in chosen[:3]] == ["ip_failure", "t_web", "e_nginx"]
    assert [rule.origin for rule in chosen[:3]] == [Origin.USER, Origin.USER, Origin.CHECKER]
    assert [rule.label for rule in chosen].count("ip_failure") == 1


def test_disabled_rules_are_left_out() -> None:
    written, report = read(LUA_DISABLES.format("ip_failure"), LUA_DISABLES.format("t_web"))
    off = [rule.label for rule in _set(written, extends=True) if rule.inactive]
    assert off == ["t_web", "ip_failure"]
    assert report.problems == []


def test_without_the_default_rules_the_tables_stay() -> None:
    written, _ = read("a: if (tcp.web == down) then stop();")
    chosen = _set(written, extends=False)
    table = ["notuptodate_server", "degraded_server", "rfs_forceuptodate", "splitbrain_failure"]
    assert [rule.label for rule in chosen if not rule.inactive] == ["a", *table]


def test_leaving_out_the_default_rules_is_warned_of() -> None:
    _, warnings = _checked("a: if (tcp.web == down) then stop();", extends=False)
    assert warnings == [
        'userconfig.xml:9:3: extends="no" leaves out every default rule, also the actions of checkers: t_web, e_nginx, '
        "module_failure, interface_failure, ip_failure, disk_full, rfs_syncat_wait"
    ]


def test_what_the_table_keeps_can_neither_be_replaced_nor_disabled() -> None:
    problems, _ = _checked(
        "degraded_server: if (tcp.web == down) then stop();", LUA_DISABLES.format("notuptodate_server")
    )
    assert "cannot be replaced" in problems[0]
    assert "cannot be disabled" in problems[1]


def test_disabling_a_rule_that_does_not_exist_names_the_nearest() -> None:
    (problem,), _ = _checked(LUA_DISABLES.format("ip_falure"))
    assert problem.startswith("userconfig.xml:2:15: there is no rule 'ip_falure'; did you mean 'ip_failure'?")


def test_resources_that_nothing_sets_are_warned_of() -> None:
    text = (
        "a: if (tcp.wbe == down) then stop(); b: if (tpc.web == down) then stop(); c: if (custom.x == up) then stop();"
    )
    problems, warnings = _checked(text)
    assert problems == []
    assert warnings == [
        "userconfig.xml:1:1: nothing in this configuration sets tcp.wbe; did you mean 'tcp.web'?",
        "userconfig.xml:1:38: no checker sets resources of class 'tpc'; did you mean 'tcp'?",
    ]
