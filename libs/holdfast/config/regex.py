"""POSIX extended regular expressions, translated for Python's `re` and restricted to what both mean alike."""

from __future__ import annotations

import re

PATTERN_CHARS_MAX = 1024
"""Length of a pattern."""

_CLASSES = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "A-Za-z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "print": r" -~",
    "graph": r"!-~",
    "cntrl": r"\x00-\x1f\x7f",
    "xdigit": "0-9A-Fa-f",
}
_SPECIAL = frozenset(".[]{}()*+?|^$\\/-")


def compile_posix(pattern: str) -> re.Pattern[str]:
    """Compiles a POSIX extended regular expression; use `search`, as POSIX matching is not anchored.

    Raises ValueError that says what is wrong. Character classes mean their ASCII members (POSIX locale).
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"a pattern has at most {PATTERN_CHARS_MAX} characters")
    try:
        return re.compile(_translated(pattern), re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _translated(pattern: str) -> str:
    result: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            text, at = _bracket(pattern, at)
            result.append(text)
            continue
        if char == "\\":
            at += 1
            result.append(_escape(pattern, at))
        elif char == "(" and pattern[at + 1 : at + 2] == "?":
            raise ValueError("'(?' is not part of POSIX extended expressions")
        elif char in "*+?}" and pattern[at + 1 : at + 2] in ("?", "+"):
            raise ValueError(f"'{pattern[at : at + 2]}' repeats a repetition")
        else:
            result.append(r"\Z" if char == "$" else char)
        at += 1
    return "".join(result)


def _escape(pattern: str, at: int) -> str:
    """POSIX defines a backslash only before a special character."""
    char = pattern[at : at + 1]
    if not char:
        raise ValueError("a backslash ends the pattern")
    if char not in _SPECIAL:
        raise ValueError(f"'\\{char}' is not part of POSIX extended expressions")
    return re.escape(char)


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """A bracket expression that starts at `at`, translated, and the place after it."""
    result = ["["]
    at += 1
    if pattern[at : at + 1] == "^":
        result.append("^")
        at += 1
    first = True
    while at < len(pattern) and (first or pattern[at] != "]"):
        if pattern.startswith("[:", at):
            end = pattern.find(":]", at)
            name = pattern[at + 2 : end] if end > 0 else ""
            if name not in _CLASSES:
                raise ValueError(f"unknown character class '[:{name[:20]}:]'")
            result.append(_CLASSES[name])
            at = end + 2
        elif pattern.startswith(("[.", "[="), at):
            raise ValueError("collating symbols and equivalence classes are not supported")
        elif pattern.startswith("--", at):
            raise ValueError("'--' in a bracket expression is ambiguous")
        else:
            char = pattern[at]
            result.append(f"\\{char}" if char in "\\[]^&~|" else char)
            at += 1
        first = False
    if at >= len(pattern):
        raise ValueError("'[' without ']'")
    return "".join([*result, "]"]), at + 1
