"""The Lua form: its documented statements, read without running anything.

Rules = Rules + { label = if_then("tcp.web", "down", Action.restart), _group = "checker" }
Rules.disable("label")
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from lark import Lark, Token, Tree, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from holdfast.config.model import Position
from holdfast.config.problem import nearest_name
from holdfast.core.condition import Compare
from holdfast.core.rule import Origin, Rule
from holdfast.failover.meaning import Meaning, ReadRule
from holdfast.failover.plain import RULES_MAX
from holdfast.failover.source import LUA_COMMENT, RuleSource, without_comments

HEADER = re.compile(r"\s*--\s*Lua\s+Rules\b", re.I)
"""How a text of rules says that it is in this form."""

SHAPE = 'Rules = Rules + { label=if_then("class.id","down",Action.wait) } or Rules.disable("label")'
OPTIONS = ("_group",)
"""What a table may hold beside rules; the group is for the model's console and changes nothing here."""
NAMES = {
    "RULES": "Rules",
    "DISABLE": "disable",
    "IF_THEN": "if_then",
    "ACTION": "Action",
    "NAME": "a name",
    "STRING": "a text in quotes",
    "EQUAL": "'='",
    "PLUS": "'+'",
    "DOT": "'.'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "_SEPARATOR": "','",
    "COMMA": "','",
}

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.:@+-]*\Z")
_RESOURCE = re.compile(
    r"(?:(?:local|remote)\s*\.\s*)?(?:(?:0/1|0|1)\s*)?[A-Za-z_][A-Za-z0-9_]*\.(?:[A-Za-z0-9_:@+-][A-Za-z0-9_.:@+-]*|\*|\?)\Z"
)
_PIECE = re.compile(r"[A-Za-z0-9_]+|\S")


@dataclass(frozen=True, kw_only=True)
class Disabled:
    """A label that `Rules.disable` names, and where."""

    label: str
    at: Position


@cache
def grammar() -> Lark:
    """The parser, made once in a process."""
    return Lark.open("lua.lark", rel_to=__file__, parser="lalr", start="start", propagate_positions=True)


def read_lua(source: RuleSource, origin: Origin) -> tuple[tuple[ReadRule, ...], tuple[Disabled, ...]]:
    """The rules and the disabled labels of a text; mistakes are left in its report."""
    if source.is_too_long():
        return (), ()
    text = without_comments(source, LUA_COMMENT)
    try:
        tree = grammar().parse(text)
    except UnexpectedInput as error:
        _explain(source, text, error)
        return (), ()
    rules: list[ReadRule] = []
    disabled: list[Disabled] = []
    meaning = Meaning(source, 0, origin)
    for statement in tree.find_pred(lambda each: each.data in ("rule", "option", "disable")):
        match statement.data:
            case "disable":
                token = _words(statement)["STRING"][0]
                disabled.append(Disabled(label=_unquoted(token), at=source.place(token.start_pos or 0)))
            case "option":
                _check_option(source, statement)
            case _:
                read = _rule(source, meaning, statement, origin)
                rules += [read] if read is not None else []
    if len(rules) > RULES_MAX:
        source.error(0, "too many rules", accepted=f"at most {RULES_MAX}")
    in_order = sorted(rules[:RULES_MAX], key=lambda read: (read.at.line, read.at.column))
    return tuple(in_order), tuple(disabled)


def _rule(source: RuleSource, meaning: Meaning, tree: Tree[Token], origin: Origin) -> ReadRule | None:
    words = _words(tree)
    key, resource, state, action = _key(tree), *words["STRING"][-2:], words["NAME"][-1]
    at = key.start_pos or 0
    name = _unquoted(key)
    if not _LABEL.match(name):
        source.error(at, f"'{name[:40]}' is no label", accepted="a letter or underscore, then letters, digits, _.:@+-")
        return None
    label = meaning.label(name, at)
    operand_text = _unquoted(resource)
    if not _RESOURCE.match(operand_text):
        source.error(
            (resource.start_pos or 0) + 1, f"'{operand_text[:80]}' is no resource", accepted="[local.|remote.]class.id"
        )
        return None
    operand = meaning.operand(operand_text, (resource.start_pos or 0) + 1)
    word = meaning.state(_unquoted(state), (state.start_pos or 0) + 1)
    asked = meaning.action(str(action), action.start_pos or 0)
    if label is None or operand is None or word is None or asked is None:
        return None
    rule = Rule(label=label, condition=Compare(left=operand, right=word), action=asked, origin=origin)
    return ReadRule(rule=rule, at=source.place(at))


def _check_option(source: RuleSource, tree: Tree[Token]) -> None:
    key = _key(tree)
    name = _unquoted(key)
    if name not in OPTIONS:
        source.error(
            key.start_pos or 0,
            f"'{name[:40]}' is given a text",
            accepted=f'{", ".join(OPTIONS)}, or {name[:40]}=if_then("class.id","down",Action.wait)',
            nearest=nearest_name(name, OPTIONS),
        )


def _key(tree: Tree[Token]) -> Token:
    """The label or option name: the first name or text of a field."""
    return next(child for child in tree.children if isinstance(child, Token) and child.type in ("NAME", "STRING"))


def _words(tree: Tree[Token]) -> dict[str, list[Token]]:
    found: dict[str, list[Token]] = {}
    for child in tree.children:
        if isinstance(child, Token):
            found.setdefault(child.type, []).append(child)
    return found


def _unquoted(token: Token) -> str:
    return str(token)[1:-1] if token.type == "STRING" else str(token)


def _explain(source: RuleSource, text: str, error: UnexpectedInput) -> None:
    match error:
        case UnexpectedToken(token=Token() as token):
            at = len(text.rstrip()) if token.type == "$END" else (token.start_pos or 0)
            wanted = set(error.accepts or error.expected)
        case UnexpectedCharacters():
            at, wanted = error.pos_in_stream or 0, set(error.allowed or ())
        case _:
            at, wanted = len(text.rstrip()), set()
    piece = _PIECE.match(text, at)
    found = f"'{piece[0][:40]}'" if piece is not None else "the end of the rules"
    nearest = nearest_name(piece[0], [NAMES[n] for n in NAMES if n in wanted and n.isalpha()]) if piece else None
    accepted = ", ".join(name for key, name in NAMES.items() if key in wanted) or SHAPE
    source.error(at, f"found {found}", accepted=f"{accepted} (only: {SHAPE})", nearest=nearest)
