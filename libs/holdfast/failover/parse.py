"""Every text of rules that a configuration holds, in whichever form, to what they say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.config.model import Position
from holdfast.config.problem import Report
from holdfast.core.rule import Origin, Rule
from holdfast.failover.lua import HEADER, Disabled, read_lua
from holdfast.failover.meaning import ReadRule
from holdfast.failover.plain import read_plain
from holdfast.failover.source import RuleSource


@dataclass(frozen=True, kw_only=True)
class Written:
    """The rules that an operator has written, in order, and the labels that are switched off."""

    rules: tuple[ReadRule, ...] = ()
    disabled: tuple[Disabled, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RuleText:
    """One text (a CDATA section) and the place of its first character in the file."""

    text: str
    at: Position


def read_texts(texts: Iterable[RuleText], report: Report) -> Written:
    """What the texts say. Everything wrong is left in the report, with its place; what is right is returned."""
    rules: list[ReadRule] = []
    disabled: list[Disabled] = []
    for each in texts:
        source = RuleSource(each.text, each.at, report)
        if HEADER.match(each.text):
            more, names = read_lua(source, Origin.USER)
            disabled += names
        else:
            more = read_plain(source, Origin.USER)
        rules += more
    return Written(rules=_each_label_once(rules, report), disabled=tuple(disabled))


def _each_label_once(rules: Iterable[ReadRule], report: Report) -> tuple[ReadRule, ...]:
    first: dict[str, ReadRule] = {}
    for read in rules:
        known = first.setdefault(read.rule.label, read)
        if known is not read:
            message = f"rule '{read.rule.label}' a second time, first in line {known.at.line}"
            report.error(read.at, message, accepted="each label once")
    return tuple(first.values())


def read_rules(lines: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of a configuration that has been checked. Raises ConfigError when it has not."""
    report = Report(source="rules")
    written = read_texts([RuleText(text="\n".join(lines), at=Position(line=1, column=1))], report)
    report.raise_if_wrong()
    return tuple(each.rule for each in written.rules)
