"""The plain form: `label: if (condition) then action();`, any number of them, with comments.

Every rule is read for itself, so that one mistake does not hide the next. Reading takes time proportional to the text:
its length, the rules in it and how deep they nest are bounded before the grammar sees them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from lark import Lark, Token, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from holdfast.config.problem import nearest_name
from holdfast.core.rule import Origin
from holdfast.failover.meaning import Meaning, ReadRule
from holdfast.failover.source import PLAIN_COMMENT, RuleSource, without_comments

RULES_MAX = 256
"""Rules of one text; a configuration has a handful."""
RULE_CHARS_MAX = 4_096
"""Characters of one rule, blanks and comments inside it included."""
NESTING_MAX = 20
"""Parentheses inside each other, and negations of one rule."""

SHAPE = "label: if (condition) then action();"
NAMES = {
    "LABEL": "a label",
    "COLON": "':'",
    "IF": "'if'",
    "THEN": "'then'",
    "LPAR": "'('",
    "RPAR": "')'",
    "BANG": "'!'",
    "OPERAND": "class.id",
    "WORD": "a word",
    "EQUALS": "'==', '!='",
    "EQUAL": "'='",
    "_OR": "'||'",
    "_AND": "'&&'",
    "$END": "';'",
}
"""How messages call what the grammar accepts."""

HALF_OPERATORS: Mapping[str, str] = MappingProxyType({"=": "==", "&": "&&", "|": "||"})

_PIECE = re.compile(r"[A-Za-z0-9_.:@+*?-]+|[=!&|]+|\S")


@cache
def grammar() -> Lark:
    """The parser, made once in a process."""
    return Lark.open("plain.lark", rel_to=__file__, parser="lalr", start="rule", propagate_positions=True)


def read_plain(source: RuleSource, origin: Origin) -> tuple[ReadRule, ...]:
    """The rules of a text; every mistake is left in its report."""
    if source.is_too_long():
        return ()
    text = without_comments(source, PLAIN_COMMENT)
    read: list[ReadRule] = []
    for number, (start, end) in enumerate(_statements(text)):
        if number >= RULES_MAX:
            source.error(start, "too many rules", accepted=f"at most {RULES_MAX}")
            break
        if end == len(text):
            source.error(len(text.rstrip()), "the rule does not end", accepted="';'")
        rule = _rule(source, text[start:end], start, origin)
        if rule is not None:
            read.append(rule)
    return tuple(read)


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each rule, without blanks around it and without its ';'."""
    at = 0
    for found in re.finditer(r";|\Z", text):
        statement = text[at : found.start()]
        if statement.strip():
            yield at + len(statement) - len(statement.lstrip()), found.start()
        at = found.end()


def _rule(source: RuleSource, text: str, start: int, origin: Origin) -> ReadRule | None:
    if not _is_within_limits(source, text, start):
        return None
    try:
        tree = grammar().parse(text)
    except UnexpectedInput as error:
        _explain(source, text, start, error)
        return None
    return Meaning(source, start, origin).rule(tree)


def _is_within_limits(source: RuleSource, text: str, start: int) -> bool:
    if len(text) > RULE_CHARS_MAX:
        source.error(start, f"the rule has {len(text)} characters", accepted=f"at most {RULE_CHARS_MAX}, then ';'")
        return False
    deep = negations = 0
    for found in re.finditer(r"[()]|!(?!=)", text):
        negations += found[0] == "!"
        deep += {"(": 1, ")": -1}.get(found[0], 0)
        if deep > NESTING_MAX or negations > NESTING_MAX:
            source.error(start + found.start(), "the condition is nested too deep", accepted=f"{NESTING_MAX} levels")
            return False
    return True


def _explain(source: RuleSource, text: str, start: int, error: UnexpectedInput) -> None:
    """Report what stands where something else should."""
    match error:
        case UnexpectedToken(token=Token() as token):
            at = len(text.rstrip()) if token.type == "$END" else (token.start_pos or 0)
            wanted = set(error.accepts or error.expected)
        case UnexpectedCharacters():
            at, wanted = error.pos_in_stream or 0, set(error.allowed or ())
        case _:
            at, wanted = len(text.rstrip()), set()
    piece = _PIECE.match(text, at)
    found = f"'{piece[0][:40]}'" if piece is not None else "the end of the rule"
    if wanted == {"LABEL"}:
        source.error(start + at, f"{found} is no label with ':' after it", accepted=SHAPE)
        return
    if "RPAR" in wanted:
        wanted.discard("LPAR")
    nearest = _nearest(piece[0], wanted) if piece is not None else None
    accepted = ", ".join(NAMES.get(name, name) for name in NAMES if name in wanted) or SHAPE
    source.error(start + at, f"found {found}", accepted=accepted, nearest=nearest)


def _nearest(piece: str, wanted: set[str]) -> str | None:
    if "EQUALS" in wanted and piece in HALF_OPERATORS:
        return HALF_OPERATORS[piece]
    return nearest_name(piece, [name.lower() for name in ("IF", "THEN") if name in wanted])
