"""Rules survive printing, and no text makes the reader fail, or work longer than its limits allow."""

from __future__ import annotations

import pytest
from holdfast.config.model import Position
from holdfast.config.problem import PROBLEMS_MAX, Report
from holdfast.core.condition import STATES, Agree, AllOf, AnyOf, Compare, Condition, Function, Not, Operand, Side, Word
from holdfast.core.rule import IMPLICIT_WAKEUP, RULE_ACTIONS, Origin, Rule
from holdfast.errors import ConfigError
from holdfast.failover.parse import RuleText, read_texts
from holdfast.failover.plain import NESTING_MAX, RULE_CHARS_MAX, RULES_MAX
from holdfast.failover.source import TEXT_CHARS_MAX
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.libs.holdfast.failover.rules_reading import problems, rules

IDENTS = st.from_regex(r"[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]{0,8}", fullmatch=True)
OPERANDS = st.builds(
    Operand,
    resource_class=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
        lambda name: name not in ("local", "remote")
    ),
    ident=IDENTS | st.sampled_from(["*", "?"]),
    side=st.sampled_from(Side),
)
VALUES = OPERANDS | st.builds(Function, function=st.just("cluster"))
COMPARISONS = st.builds(
    Compare, left=VALUES, right=VALUES | st.builds(Word, state=st.sampled_from(STATES)), equal=st.booleans()
)


def _larger(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return (
        st.builds(Not, negated=parts)
        | st.builds(AllOf, all_of=several)
        | st.builds(AnyOf, any_of=several)
        | st.builds(Agree, first=parts, second=parts, same=st.booleans())
    )


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(COMPARISONS, _larger, max_leaves=8)
LABELS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:@+-]{0,9}", fullmatch=True).filter(lambda name: name != IMPLICIT_WAKEUP)
RULES = st.builds(Rule, label=LABELS, condition=CONDITIONS, action=st.sampled_from(RULE_ACTIONS)) | st.builds(
    Rule,
    label=LABELS,
    condition=COMPARISONS,
    assigns=IDENTS.map("custom.{}".format),
    value=st.sampled_from(STATES),
)
SIGNS = (*"!()=&|;:,.*?#/{}\"'-\n ", "&&", "||", "==", "!=", "()", "/*", "*/", "--[[", "é", "\0")
WORDS = (
    "if",
    "then",
    "wait",
    "tcp.web",
    "down",
    "a: ",
    "0/1",
    "--Lua Rules\n",
    "Rules",
    "if_then(",
    "Action.",
    '"tcp.a"',
)
PIECES = st.sampled_from((*SIGNS, *WORDS))


@given(RULES)
@settings(max_examples=60, deadline=None)
def test_a_rule_that_is_printed_is_read_as_the_same_rule(rule: Rule) -> None:
    assert rules(str(rule)) == [rule]


@given(st.text(max_size=300) | st.lists(PIECES, max_size=60).map("".join))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused_with_places_inside_it(text: str) -> None:
    report = Report(source="any")
    try:
        written = read_texts([RuleText(text=text, at=Position(line=1, column=1))], report)
    except ConfigError:
        assert len(report.problems) >= PROBLEMS_MAX
        return
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= problem.at.line <= lines and problem.at.column >= 1 for problem in report.problems)
    again = [str(each.rule) for each in written.rules]
    assert [str(rule) for rule in rules("\n".join(again))] == again


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (f"a: if ({'(' * NESTING_MAX}tcp.a{')' * NESTING_MAX}) then wait();", f"{NESTING_MAX} levels"),
        (f"a: if ({'!' * (NESTING_MAX + 1)}tcp.a) then wait();", f"{NESTING_MAX} levels"),
        (f"a: if ({' || '.join(['tcp.a'] * RULE_CHARS_MAX)}) then wait();", f"at most {RULE_CHARS_MAX}, then ';'"),
        (" " * (TEXT_CHARS_MAX + 1), f"at most {TEXT_CHARS_MAX}"),
        ("(" * TEXT_CHARS_MAX, f"at most {RULE_CHARS_MAX}, then ';'"),
        ("".join(f"a{n}: if (tcp.a) then stop();" for n in range(RULES_MAX + 1)), f"at most {RULES_MAX}"),
    ],
    ids=["nesting", "negations", "rule", "text", "parentheses", "rules"],
)
def test_what_is_beyond_a_limit_is_said_and_not_read(text: str, accepted: str) -> None:
    assert f"accepted: {accepted}" in "\n".join(problems(text))


def test_a_text_of_nothing_but_wrong_rules_is_given_up_after_so_many_problems() -> None:
    with pytest.raises(ConfigError):
        problems("x;" * (TEXT_CHARS_MAX // 2))


def test_a_rule_knows_where_it_comes_from() -> None:
    assert rules("a: if (tcp.a == up) then stop();")[0].origin is Origin.USER
