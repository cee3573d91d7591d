"""The plain form of failover rules: what is read, and what is said about what is wrong."""

from __future__ import annotations

import pytest
from holdfast.core.condition import (
    Agree,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Function,
    Not,
    Operand,
    Side,
    Word,
)
from holdfast.core.rule import Origin, Rule
from holdfast.events.module import Action

from tests.unit.libs.holdfast.failover.rules_reading import problems, read, rules

WEB_DOWN = Compare(left=Operand(resource_class="tcp", ident="web"), right=Word(state="down"))
DB_DOWN = Compare(left=Operand(resource_class="tcp", ident="db"), right=Word(state="down"))


def _condition(text: str) -> Condition:
    (rule,) = rules(f"a: if ({text}) then wait();")
    return rule.condition


def test_a_rule_is_a_label_a_condition_and_an_action() -> None:
    (rule,) = rules("web_failure: if (tcp.web == down) then restart();")
    assert rule == Rule(label="web_failure", condition=WEB_DOWN, action=Action.RESTART, origin=Origin.USER)


@pytest.mark.parametrize("word", ["stop", "stopstart", "wait", "restart", "swap", "noaction"])
def test_every_documented_action_is_read(word: str) -> None:
    (rule,) = rules(f"a: if (tcp.web == down) then {word}();")
    assert rule.action is Action(word)


def test_several_rules_keep_their_order_and_comments_are_left_out() -> None:
    text = """
        // the web server
        a: if (tcp.web == down) then restart();   # one
        /* b: if (tcp.no == down)
           then stop(); */
        b: if (tcp.db == down)
           then stop();
    """
    assert [rule.label for rule in rules(text)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp.web == down", WEB_DOWN),
        ("((tcp.web == down))", WEB_DOWN),
        ("!(tcp.web == down)", Not(negated=WEB_DOWN)),
        ("tcp.web == down && tcp.db == down", AllOf(all_of=(WEB_DOWN, DB_DOWN))),
        ("tcp.web == down || tcp.db == down", AnyOf(any_of=(WEB_DOWN, DB_DOWN))),
        (
            "tcp.web == down || tcp.db == down && tcp.web == down",
            AnyOf(any_of=(WEB_DOWN, AllOf(all_of=(DB_DOWN, WEB_DOWN)))),
        ),
        (
            "(tcp.web == down || tcp.db == down) && tcp.web == down",
            AllOf(all_of=(AnyOf(any_of=(WEB_DOWN, DB_DOWN)), WEB_DOWN)),
        ),
        ("(tcp.web == down) != (tcp.db == down)", Agree(first=WEB_DOWN, second=DB_DOWN, same=False)),
        (
            "tcp.web != up",
            Compare(left=Operand(resource_class="tcp", ident="web"), right=Word(state="up"), equal=False),
        ),
        ("tcp.web", Compare(left=Operand(resource_class="tcp", ident="web"), right=Word(state="up"))),
        ("cluster() == down", Compare(left=Function(function="cluster"), right=Word(state="down"))),
    ],
)
def test_operators_bind_as_in_c(text: str, expected: Condition) -> None:
    assert _condition(text) == expected


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("tcp.web", Operand(resource_class="tcp", ident="web")),
        ("local.tcp.web", Operand(resource_class="tcp", ident="web")),
        ("remote.tcp.web", Operand(resource_class="tcp", ident="web", side=Side.REMOTE)),
        ("intf.*", Operand(resource_class="intf", ident="*")),
        ("remote.intf.?", Operand(resource_class="intf", ident="?", side=Side.REMOTE)),
        ("ip.192.168.1.10", Operand(resource_class="ip", ident="192.168.1.10")),
        ("ip.fd00::1", Operand(resource_class="ip", ident="fd00::1")),
        ("proc.a-b@1+c", Operand(resource_class="proc", ident="a-b@1+c")),
    ],
)
def test_a_resource_may_be_of_either_node_and_of_any_ident(text: str, operand: Operand) -> None:
    assert _condition(f"{text} == down") == Compare(left=operand, right=Word(state="down"))


@pytest.mark.parametrize("prefix", ["0/1 ", "0/1", "0 ", "1"])
def test_the_prefix_of_the_published_grammar_is_accepted_and_means_nothing(prefix: str) -> None:
    written, report = read(f"a: if (local.{prefix}tcp.web == down) then wait();")
    assert report.problems == []
    assert [each.rule.condition for each in written.rules] == [WEB_DOWN]
    assert "no documented meaning" in str(report.warnings[0])


def test_a_rule_may_assign_a_resource() -> None:
    (rule,) = rules("both: if (tcp.web == down && tcp.db == down) then custom.both=down;")
    assert (rule.assigns, rule.value, rule.action) == ("custom.both", "down", Action.NOACTION)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: if (tcp.web == dwon) then wait();",
            "3:28: 'dwon' is no state; did you mean 'down'?; accepted: init, up, down, unknown, or a resource class.id",
        ),
        (
            "a: if (tcp.web == down) then restrat();",
            "3:39: 'restrat' is no action; did you mean 'restart'?; accepted: stop(), stopstart(), wait(), swap(), "
            "restart(), noaction()",
        ),
        (
            "a: if (tcp.web = down) then wait();",
            "3:25: found '='; did you mean '=='?; accepted: ')', '==', '!=', '||', '&&'",
        ),
        ("a: if tcp.web == down then wait();", "3:16: found 'tcp.web'; accepted: '('"),
        ("a: if (tcp.web == down) wait();", "3:34: found 'wait'; accepted: 'then'"),
        ("a: if (tcp.web == down) then wait;", "3:43: found the end of the rule; accepted: '('"),
        ("a: if (tcp.web == down then wait();", "3:33: found 'then'; accepted: ')', '||', '&&'"),
        ("a: if (tcp.web == down) then wait()", "3:45: the rule does not end; accepted: ';'"),
        ("a: if (up) then wait();", "3:17: 'up' alone is no condition; accepted: a resource: class.id == up"),
        (
            "a: if (!tcp.web == down) then wait();",
            "3:17: '!' binds closer than the comparison; accepted: !(class.id == down), (…) == (…)",
        ),
        (
            "a: if (klusta() == up) then wait();",
            "3:17: 'klusta' is no function; did you mean 'cluster'?; accepted: cluster()",
        ),
        ("a: if (local.web == up) then wait();", "3:17: 'local.web' lacks the class; accepted: local.class.id"),
        ("a: if (up == down) then wait();", "3:17: two states are compared; accepted: class.id == up"),
        ("/* open", "3:10: the comment '/* open' does not end; accepted: the end of it"),
        (
            "Implicit_wakeup: if (tcp.a == up) then wait();",
            "3:10: the label 'Implicit_wakeup' is taken; accepted: another one: this rule always stands",
        ),
        (
            "a: if (tcp.a == up) then rfs.uptodate=up;",
            "3:35: rfs.uptodate is observed by Holdfast itself, and what a node knows of its data is not for rules to "
            "declare; accepted: a class of your own, such as custom.uptodate",
        ),
        (
            "a: if (tcp.a == up) then remote.custom.x=up;",
            "3:35: remote.custom.x cannot be assigned; accepted: one resource of this node, such as custom.name",
        ),
    ],
)
def test_an_error_names_place_find_and_what_is_accepted(text: str, problem: str) -> None:
    assert problems(text, line=3, column=10) == [problem]


def test_places_count_from_where_the_text_begins() -> None:
    text = "a: if (tcp.a == down) then wait();\n\n  /* x\n */ b: if (tcp.b == dwon) then wait();"
    assert [problem.partition(" ")[0] for problem in problems(text, line=40, column=20)] == ["43:21:"]


def test_one_wrong_rule_does_not_hide_the_next() -> None:
    text = "a: if (tcp.a == dwon) then wait(); b: fi (tcp.b == up) then wait(); c: if (tcp.c == up) then wati();"
    assert len(problems(text)) == 3


def test_a_label_is_given_once() -> None:
    text = "a: if (tcp.a == down) then wait();\na: if (tcp.b == down) then stop();"
    assert problems(text) == ["2:1: rule 'a' a second time, first in line 1; accepted: each label once"]
