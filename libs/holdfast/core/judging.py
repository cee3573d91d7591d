"""What the rules say about present values: which of them hold, what each one sees, and what would make it act.

Pure functions of rules and values; time is an input. What an action does to a module is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

from holdfast.core.condition import (
    EVERY,
    Agree,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Function,
    Not,
    Operand,
    Value,
    Values,
    Word,
    comparisons,
    holds,
    operands,
)
from holdfast.core.rule import RULE_ACTIONS, Rule
from holdfast.events.module import Action

SEEN_MAX = 64
"""Resources that one rule's picture lists."""
NS_PER_MS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleView:
    """One rule and what it sees. seen: each resource (or function) with its present value, in the order written.
    needs: what would have to change for the condition to hold; "" when it does."""

    rule: Rule
    holds: bool
    seen: tuple[tuple[str, str], ...]
    needs: str


def views(rules: Iterable[Rule], values: Values) -> tuple[RuleView, ...]:
    """Every rule with its result, what it sees and what it needs."""
    return tuple(
        RuleView(rule=rule, holds=result, seen=seen(rule.condition, values), needs="" if result else missing)
        for rule in rules
        for result, missing in [(holds(rule.condition, values), needed(rule.condition, values, wanted=True))]
    )


def seen(condition: Condition, values: Values) -> tuple[tuple[str, str], ...]:
    """The present value of everything that a condition looks at; a class without resources is shown as such."""
    found: dict[str, str] = {}
    for each in comparisons(condition):
        for value in (each.left, each.right):
            match value:
                case Function():
                    found[str(value)] = values.cluster
                case Operand():
                    found |= _seen_of(value, values)
                case Word():
                    pass
                case _:
                    assert_never(value)
    return tuple(found.items())[:SEEN_MAX]


def _seen_of(operand: Operand, values: Values) -> dict[str, str]:
    prefix = str(operand).removesuffix(operand.name)
    matching = values.matching(operand)
    return {f"{prefix}{name}": text for name, text in matching.items()} or {str(operand): "no such resource"}


def culprits(condition: Condition, values: Values, value: str) -> tuple[Operand, ...]:
    """The single resources that a condition looks at and that have this value, each once."""
    found = (
        Operand(resource_class=operand.resource_class, ident=name.partition(".")[2], side=operand.side)
        for operand in operands(condition)
        for name, text in values.matching(operand).items()
        if text == value
    )
    return tuple(dict.fromkeys(found))


def needed(condition: Condition, values: Values, *, wanted: bool) -> str:
    """What has to change for a condition to give this result, in words; "" when it gives it already."""
    if holds(condition, values) is wanted:
        return ""
    match condition:
        case Compare():
            return _needed_of_comparison(condition, values, wanted=wanted)
        case Not():
            return needed(condition.negated, values, wanted=not wanted)
        case AllOf():
            return _joined(condition.all_of, values, wanted=wanted, all_needed=wanted)
        case AnyOf():
            return _joined(condition.any_of, values, wanted=wanted, all_needed=not wanted)
        case Agree():
            first = needed(condition.first, values, wanted=not holds(condition.first, values))
            second = needed(condition.second, values, wanted=not holds(condition.second, values))
            return f"{first} or {second}"
        case _:
            assert_never(condition)


def _joined(parts: tuple[Condition, ...], values: Values, *, wanted: bool, all_needed: bool) -> str:
    words = [word for part in parts if (word := needed(part, values, wanted=wanted))]
    if all_needed:
        return " and ".join(f"({word})" if " or " in word and len(words) > 1 else word for word in words)
    return " or ".join(words)


def _needed_of_comparison(condition: Compare, values: Values, *, wanted: bool) -> str:
    left, right = condition.left, condition.right
    if isinstance(left, Word):
        left, right = right, left
    becomes = "becomes" if condition.equal is wanted else "is no longer"
    return f"{_how_many(left, values, wanted=wanted)}{left} {becomes} {right}"


def _how_many(value: Value, values: Values, *, wanted: bool) -> str:
    if not isinstance(value, Operand) or not value.is_wild:
        return ""
    if not values.matching(value):
        return f"there is a resource {value.resource_class} and "
    return "every " if (value.ident == EVERY) is wanted else "any "


def strongest(rules: Iterable[Rule]) -> Rule | None:
    """The rule whose action is taken: the strongest action, of equal ones the first."""
    acting = [rule for rule in rules if rule.action is not Action.NOACTION]
    return min(acting, key=lambda rule: RULE_ACTIONS.index(rule.action), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Handling:
    """The action that the rules have asked for at the last look, and since when, on this node's monotonic clock."""

    action: Action = Action.NOACTION
    since_mono_ns: int = 0
    looked_at_mono_ns: int = 0

    def looked(self, action: Action, now_mono_ns: int, *, period_ms: int) -> Handling:
        """After a look at the rules; between two periods nobody looks, so nothing changes."""
        if not self.is_look(now_mono_ns, period_ms=period_ms):
            return self
        period_ns = period_ms * NS_PER_MS
        # Counted from the beginning of the period, so that a late look does not add a period to the handle time.
        begun = now_mono_ns // period_ns * period_ns if period_ns else now_mono_ns
        since = self.since_mono_ns if action is self.action else begun
        return Handling(action=action, since_mono_ns=since, looked_at_mono_ns=now_mono_ns)

    def is_look(self, now_mono_ns: int, *, period_ms: int) -> bool:
        """Are the rules looked at now? With a period once in each stretch of it, without one always."""
        period_ns = period_ms * NS_PER_MS
        return period_ns == 0 or now_mono_ns // period_ns != self.looked_at_mono_ns // period_ns

    def is_ripe(self, action: Action, now_mono_ns: int, *, handle_time_ms: int) -> bool:
        """Has this action been asked for, at every look, for long enough to be taken?"""
        return self.action is action and now_mono_ns - self.since_mono_ns >= handle_time_ms * NS_PER_MS

    def due_mono_ns(self, action: Action, *, period_ms: int, handle_time_ms: int) -> int:
        """When to look again, if this is what the rules ask for now."""
        period_ns = period_ms * NS_PER_MS
        ripe = self.since_mono_ns + handle_time_ms * NS_PER_MS
        if period_ns == 0:
            return ripe
        following = (self.looked_at_mono_ns // period_ns + 1) * period_ns
        return following if action is not self.action else max(following, -(-ripe // period_ns) * period_ns)
