"""From the syntax of a rule to the rule: what its words mean, and which of them do not fit together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lark import Token, Tree

from holdfast.config.model import Position
from holdfast.config.problem import nearest_name
from holdfast.core.condition import (
    DOWN,
    STATES,
    UP,
    Agree,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Function,
    Not,
    Operand,
    Side,
    Value,
    Word,
)
from holdfast.core.rule import IMPLICIT_WAKEUP, RULE_ACTIONS, Origin, Rule
from holdfast.core.rules import OBSERVED_CLASSES
from holdfast.events.module import Action
from holdfast.failover.source import RuleSource

NAME_CHARS_MAX = 64
"""Characters of a label, a class or an id: as many as an `ident` of the configuration may have."""
LABEL_CHARS_MAX = NAME_CHARS_MAX + 2
"""A label made for a checker has a letter and an underscore before the ident."""

FUNCTIONS = ("cluster",)
ACTION_WORDS = tuple(action.value for action in RULE_ACTIONS)

_OPERAND = re.compile(
    r"(?:(?P<side>local|remote)\s*\.\s*)?(?P<prefix>0/1|0|1)?\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*\..+)\Z"
)

Node = Token | Tree[Token]


@dataclass(frozen=True, kw_only=True)
class ReadRule:
    """A rule and the place of its label."""

    rule: Rule
    at: Position


class Meaning:
    """Reads one rule; `start` is the offset of its text. What is wrong is reported, and what is built of it is None."""

    def __init__(self, source: RuleSource, start: int, origin: Origin) -> None:
        self._source = source
        self._start = start
        self._origin = origin

    def rule(self, tree: Tree[Token]) -> ReadRule | None:
        """The rule of a whole syntax tree."""
        label = next(child for child in tree.children if isinstance(child, Token) and child.type == "LABEL")
        condition_tree, effect = [child for child in tree.children if not _is(child, "LABEL", "IF", "THEN")]
        assert isinstance(effect, Tree)
        name = self.label(str(label), self._offset(label))
        condition = self._condition(condition_tree)
        done = self._assignment(effect) if effect.data == "assign" else self._act(effect)
        if name is None or condition is None or done is None:
            return None
        action, assigns, value = done
        rule = Rule(label=name, condition=condition, action=action, assigns=assigns, value=value, origin=self._origin)
        return ReadRule(rule=rule, at=self._source.place(self._offset(label)))

    def label(self, text: str, offset: int) -> str | None:
        """A label as it may be."""
        if len(text) > LABEL_CHARS_MAX:
            self._source.error(offset, f"the label has {len(text)} characters", accepted=f"at most {LABEL_CHARS_MAX}")
            return None
        if text == IMPLICIT_WAKEUP:
            self._source.error(offset, f"the label '{text}' is taken", accepted="another one: this rule always stands")
            return None
        return text

    def action(self, word: str, offset: int) -> Action | None:
        """An action that a rule may ask for."""
        if word in ACTION_WORDS:
            return Action(word)
        self._word(word, offset, "action", ACTION_WORDS, "()")
        return None

    def operand(self, text: str, offset: int) -> Operand | None:
        """A resource as written, with its side and the prefix that has no known meaning."""
        found = _OPERAND.match(text)
        assert found is not None, "the grammar has matched an operand"
        if found["prefix"]:
            self._source.warn(offset, f"the prefix '{found['prefix']}' of '{text[:80]}' has no documented meaning")
        resource_class, _, ident = found["name"].partition(".")
        if resource_class in (Side.LOCAL, Side.REMOTE):
            self._source.error(offset, f"'{text[:80]}' lacks the class", accepted=f"{resource_class}.class.id")
            return None
        if max(len(resource_class), len(ident)) > NAME_CHARS_MAX:
            self._source.error(offset, f"'{text[:80]}…' is too long", accepted=f"{NAME_CHARS_MAX} characters a name")
            return None
        return Operand(resource_class=resource_class, ident=ident, side=Side(found["side"] or Side.LOCAL))

    def state(self, word: str, offset: int) -> Word | None:
        """A state to compare with."""
        if word in STATES:
            return Word(state=word)
        self._word(word, offset, "state", STATES, "")
        return None

    # -- what follows ---------------------------------------------------------------------------------------------

    def _act(self, effect: Tree[Token]) -> tuple[Action, str, str] | None:
        (word,) = _tokens(effect)
        action = self.action(str(word), self._offset(word))
        return None if action is None else (action, "", "")

    def _assignment(self, effect: Tree[Token]) -> tuple[Action, str, str] | None:
        resource, word = _tokens(effect)
        operand, state = self.operand(str(resource), self._offset(resource)), self.state(str(word), self._offset(word))
        if operand is None or state is None:
            return None
        if operand.resource_class in OBSERVED_CLASSES and self._origin is not Origin.TABLE:
            reason = "is observed by Holdfast itself, and what a node knows of its data is not for rules to declare"
            accepted = f"a class of your own, such as custom.{operand.ident}"
        elif operand.is_wild or operand.side is Side.REMOTE:
            reason, accepted = "cannot be assigned", "one resource of this node, such as custom.name"
        else:
            return Action.NOACTION, operand.name, state.state
        self._source.error(self._offset(resource), f"{operand} {reason}", accepted=accepted)
        return None

    # -- conditions -----------------------------------------------------------------------------------------------

    def _condition(self, node: Node) -> Condition | None:
        """A part of the text that must be a condition; a resource alone is one: that it is up."""
        part = self._part(node)
        match part:
            case Operand() | Function():
                return Compare(left=part, right=Word(state=UP))
            case Word():
                self._source.error(
                    self._offset(node), f"'{part}' alone is no condition", accepted=f"a resource: class.id == {part}"
                )
                return None
            case _:
                return part

    def _part(self, node: Node) -> Condition | Value | None:
        """A part of the text: a condition, or a value to compare. Recursion is bounded by NESTING_MAX."""
        assert isinstance(node, Tree)
        first = node.children[0]
        match node.data:
            case "operand":
                return self.operand(str(first), self._offset(node))
            case "word":
                return self._state_in_condition(str(first), self._offset(node))
            case "function":
                return self._function(str(first), self._offset(node))
            case "group":
                return self._part(first)
            case "negate":
                negated = self._condition(first)
                return None if negated is None else Not(negated=negated)
            case "compare":
                return self._comparison(node)
            case data:
                parts = self._all_conditions(node.children)
                if parts is None:
                    return None
                return AllOf(all_of=parts) if data == "and_" else AnyOf(any_of=parts)

    def _all_conditions(self, nodes: Iterable[Node]) -> tuple[Condition, ...] | None:
        parts = [self._condition(node) for node in nodes]
        found = tuple(part for part in parts if part is not None)
        return found if len(found) == len(parts) else None

    def _comparison(self, node: Tree[Token]) -> Condition | None:
        left_node, operator, right_node = node.children
        left, right, equal = self._part(left_node), self._part(right_node), str(operator) == "=="
        if left is None or right is None:
            return None
        match left, right:
            case (Word(), Word()):
                self._source.error(self._offset(node), "two states are compared", accepted=f"class.id == {left}")
                return None
            case (Operand() | Word() | Function(), Operand() | Word() | Function()):
                return Compare(left=left, right=right, equal=equal)
            case (Operand() | Word() | Function(), _) | (_, Operand() | Word() | Function()):
                negates = _is(left_node, "negate")
                what = "'!' binds closer than the comparison" if negates else "a condition is compared with a value"
                self._source.error(self._offset(node), what, accepted=f"!(class.id == {DOWN}), (…) == (…)")
                return None
            case _:
                return Agree(first=left, second=right, same=equal)

    def _state_in_condition(self, word: str, offset: int) -> Word | None:
        if word in STATES:
            return Word(state=word)
        nearest = nearest_name(word, STATES)
        accepted = f"{', '.join(STATES)}, or a resource class.id"
        self._source.error(offset, f"'{word[:40]}' is no state", accepted=accepted, nearest=nearest)
        return None

    def _function(self, word: str, offset: int) -> Function | None:
        if word in FUNCTIONS:
            return Function(function=word)
        self._word(word, offset, "function", FUNCTIONS, "()")
        return None

    def _word(self, word: str, offset: int, what: str, known: tuple[str, ...], after: str) -> None:
        accepted = ", ".join(f"{each}{after}" for each in known)
        self._source.error(offset, f"'{word[:40]}' is no {what}", accepted=accepted, nearest=nearest_name(word, known))

    def _offset(self, node: Node) -> int:
        place = node.start_pos if isinstance(node, Token) else node.meta.start_pos
        return self._start + (place or 0)


def _is(node: Node, *names: str) -> bool:
    return (node.type if isinstance(node, Token) else node.data) in names


def _tokens(tree: Tree[Token]) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]
