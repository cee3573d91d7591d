"""How the tests of the rule language read a text."""

from __future__ import annotations

from holdfast.config.model import Position
from holdfast.config.problem import Report
from holdfast.core.rule import Rule
from holdfast.failover.parse import RuleText, Written, read_texts

SOURCE = "userconfig.xml"


def read(*texts: str, line: int = 1, column: int = 1) -> tuple[Written, Report]:
    """What the texts say, all said to begin at the same place, and what is wrong with them."""
    report = Report(source=SOURCE)
    at = Position(line=line, column=column)
    return read_texts([RuleText(text=text, at=at) for text in texts], report), report


def rules(text: str) -> list[Rule]:
    """The rules of a text in which nothing is wrong."""
    written, report = read(text)
    assert [str(problem) for problem in report.problems] == []
    return [each.rule for each in written.rules]


def problems(text: str, line: int = 1, column: int = 1) -> list[str]:
    """What is wrong with a text, without the name of the file."""
    _, report = read(text, line=line, column=column)
    return [str(problem).removeprefix(f"{SOURCE}:") for problem in report.problems]
