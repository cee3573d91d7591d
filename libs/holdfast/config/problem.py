"""One thing that is wrong in a configuration: where it is, what it is, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.config.model import NOWHERE, Position
from holdfast.errors import ConfigError

PROBLEMS_MAX = 100
"""Problems reported for one text: more than anyone reads at once, and a bound for hostile input."""

EXCERPT_CHARS_MAX = 80
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A single error (or warning) at a place of a file."""

    source: str
    at: Position
    message: str
    nearest: str | None = None
    """The valid name that is most like the wrong one."""
    accepted: str = ""
    """What would be right, in words."""

    def __str__(self) -> str:
        where = f"{self.source}:{self.at.line}:{self.at.column}: " if self.at.line else f"{self.source}: "
        nearest = f"; did you mean '{self.nearest}'?" if self.nearest else ""
        accepted = f"; accepted: {self.accepted}" if self.accepted else ""
        return f"{where}{self.message}{nearest}{accepted}"


@dataclass(kw_only=True)
class Report:
    """Collects the problems and warnings of one text, in the order in which they stand in it."""

    source: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def error(self, at: Position, message: str, *, nearest: str | None = None, accepted: str = "") -> None:
        """Notes a problem. Raises ConfigError at once when there are `PROBLEMS_MAX`, so that it ends soon."""
        self.problems.append(Problem(source=self.source, at=at, message=message, nearest=nearest, accepted=accepted))
        if len(self.problems) >= PROBLEMS_MAX:
            self.raise_if_wrong()

    def warn(self, at: Position, message: str) -> None:
        """Notes something that is accepted but that the operator should know."""
        if len(self.warnings) < PROBLEMS_MAX:
            self.warnings.append(Problem(source=self.source, at=at, message=message))

    def raise_if_wrong(self) -> None:
        """Raises ConfigError with every problem, sorted by place, if there is any."""
        if self.problems:
            raise config_error(self.source, self.problems)

    def warning_texts(self) -> tuple[str, ...]:
        """The warnings as lines of text."""
        return tuple(str(warning) for warning in sorted(self.warnings, key=_place))


def config_error(source: str, problems: Iterable[Problem]) -> ConfigError:
    """The error that carries these problems, sorted by place."""
    ordered = tuple(sorted(problems, key=_place))
    count = "one problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return ConfigError(f"{source}: {count}", problems=ordered)


def single_error(source: str, message: str, *, at: Position = NOWHERE, accepted: str = "") -> ConfigError:
    """The error for one problem."""
    return config_error(source, [Problem(source=source, at=at, message=message, accepted=accepted)])


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, whatever the case, or None when none is near."""
    by_lower = {item.lower(): item for item in known}
    matches = difflib.get_close_matches(name[:EXCERPT_CHARS_MAX].lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def excerpt(value: str) -> str:
    """A value as a message may repeat it: quoted, short, and without control characters."""
    printable = "".join(char if char.isprintable() else "?" for char in value[:EXCERPT_CHARS_MAX])
    return f"'{printable}{'…' if len(value) > EXCERPT_CHARS_MAX else ''}'"


def _place(problem: Problem) -> tuple[str, int, int]:
    return (problem.source, problem.at.line, problem.at.column)
