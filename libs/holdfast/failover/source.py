"""The text of rules inside its file: which place of the file an offset is, and the text without its comments."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cached_property

from holdfast.config.model import Position
from holdfast.config.problem import Report, excerpt

TEXT_CHARS_MAX = 64 * 1024
"""A rule has about 80 characters; a hundred times the rules that anybody writes is room enough."""


@dataclass(frozen=True)
class RuleSource:
    """A text of rules that begins at `at` in the file that `report` is about."""

    text: str
    at: Position
    report: Report

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", self.text))]

    def place(self, offset: int) -> Position:
        """Line and column of the file."""
        row = bisect.bisect_right(self._starts, offset) - 1
        column = offset - self._starts[row]
        if row == 0:
            return Position(line=self.at.line, column=self.at.column + column)
        return Position(line=self.at.line + row, column=column + 1)

    def error(self, offset: int, message: str, *, accepted: str, nearest: str | None = None) -> None:
        """Note what is wrong at an offset. Raises ConfigError when that makes too many problems."""
        self.report.error(self.place(offset), message, accepted=accepted, nearest=nearest)

    def warn(self, offset: int, message: str) -> None:
        self.report.warn(self.place(offset), message)

    def is_too_long(self) -> bool:
        """Whether the text is longer than is read; that has then been reported."""
        if len(self.text) <= TEXT_CHARS_MAX:
            return False
        self.error(0, f"the rules have {len(self.text)} characters", accepted=f"at most {TEXT_CHARS_MAX}")
        return True


PLAIN_COMMENT = re.compile(r"#[^\r\n]*|//[^\r\n]*|/\*.*?(?:\*/|(?P<open>\Z))", re.S)
LUA_COMMENT = re.compile(r"""--\[\[.*?(?:\]\]|(?P<open>\Z))|--[^\r\n]*|(?P<kept>"[^"\\\r\n]*"|'[^'\\\r\n]*')""", re.S)


def without_comments(source: RuleSource, comment: re.Pattern[str]) -> str:
    """The text with blanks in place of its comments, so that every offset stays what it was."""

    def blank(found: re.Match[str]) -> str:
        groups = found.groupdict()
        if groups.get("kept") is not None:
            return found[0]
        if groups["open"] is not None:
            source.error(found.start(), f"the comment {excerpt(found[0][:20])} does not end", accepted="the end of it")
        return re.sub(r"[^\r\n]", " ", found[0])

    return comment.sub(blank, source.text)
