"""Conditions of failover rules: a small expression tree over resources, its value, and its text.

`holdfast.failover` reads the tree from the language that operators write; nothing here reads text. Every node of the
tree has a field that no other kind has, so that a tree in a snapshot can be told apart without a tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

EVERY = "*"
"""All resources of the class, of which there must be at least one."""
ANY = "?"
"""At least one resource of the class."""
WILDCARDS = frozenset({EVERY, ANY})

INIT, UP, DOWN, UNKNOWN = "init", "up", "down", "unknown"
STATES = (INIT, UP, DOWN, UNKNOWN)
"""The words that a condition may compare with. A resource that was never assigned is unknown."""


class Side(StrEnum):
    """Whose resource: this node's, or the other node's."""

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operand:
    """A resource, or several of one class. ident: a name, EVERY or ANY."""

    resource_class: str
    ident: str
    side: Side = Side.LOCAL

    @property
    def name(self) -> str:
        return f"{self.resource_class}.{self.ident}"

    @property
    def is_wild(self) -> bool:
        return self.ident in WILDCARDS

    def covers(self, resource: str) -> bool:
        """Is this resource meant, on whichever side?"""
        if self.is_wild:
            return resource.startswith(f"{self.resource_class}.")
        return resource == self.name

    def __str__(self) -> str:
        return self.name if self.side is Side.LOCAL else f"{self.side}.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A state to compare with."""

    state: str

    def __str__(self) -> str:
        return self.state


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """`cluster()`: up while the other node is heard, down once it is lost, unknown before that is decided."""

    function: str

    def __str__(self) -> str:
        return f"{self.function}()"


Value = Operand | Word | Function


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """Two values are equal, or are not. `*` and `?` say for how many resources that must hold."""

    left: Value
    right: Value
    equal: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    negated: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class AllOf:
    all_of: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    any_of: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agree:
    """Two conditions have the same result, or have not."""

    first: Condition
    second: Condition
    same: bool = True


Condition = Compare | Not | AllOf | AnyOf | Agree


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """What there is to compare: present values by resource on either side, and what `cluster()` says."""

    local: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    remote: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cluster: str = UNKNOWN

    def of(self, side: Side) -> Mapping[str, str]:
        return self.local if side is Side.LOCAL else self.remote

    def matching(self, operand: Operand) -> dict[str, str]:
        """The resources meant by an operand with their values; a name always has one."""
        known = self.of(operand.side)
        if not operand.is_wild:
            return {operand.name: known.get(operand.name, UNKNOWN)}
        prefix = f"{operand.resource_class}."
        return {name: known[name] for name in sorted(name for name in known if name.startswith(prefix))}

    def texts(self, value: Value) -> tuple[str, ...]:
        """What a value stands for now: one text; for a wildcard one for each resource of the class, perhaps none."""
        match value:
            case Operand():
                return tuple(self.matching(value).values())
            case Word():
                return (value.state,)
            case Function():
                return (self.cluster,)
            case _:
                assert_never(value)


def holds(condition: Condition, values: Values) -> bool:
    """The result of a condition. Recursion is bounded by the reader of the language."""
    match condition:
        case Compare():
            return _compares(condition, values)
        case Not():
            return not holds(condition.negated, values)
        case AllOf():
            return all(holds(part, values) for part in condition.all_of)
        case AnyOf():
            return any(holds(part, values) for part in condition.any_of)
        case Agree():
            return (holds(condition.first, values) == holds(condition.second, values)) is condition.same
        case _:
            assert_never(condition)


def _compares(condition: Compare, values: Values) -> bool:
    """`*` needs every resource of the class and at least one, `?` needs one; the left side's word counts first."""
    if isinstance(condition.right, Word) and isinstance(condition.left, Operand) and not condition.left.is_wild:
        # What nearly every rule is made of, looked at with every event.
        known = values.of(condition.left.side).get(condition.left.name, UNKNOWN)
        return (known == condition.right.state) is condition.equal
    lefts, rights = values.texts(condition.left), values.texts(condition.right)
    results = [_some(condition.right, [(left == right) is condition.equal for right in rights]) for left in lefts]
    return _some(condition.left, results)


def _some(value: Value, results: list[bool]) -> bool:
    if isinstance(value, Operand) and value.ident == EVERY:
        return bool(results) and all(results)
    return any(results)


def comparisons(condition: Condition) -> Iterator[Compare]:
    """Every comparison in a condition, in the order written."""
    match condition:
        case Compare():
            yield condition
        case Not():
            yield from comparisons(condition.negated)
        case AllOf():
            for part in condition.all_of:
                yield from comparisons(part)
        case AnyOf():
            for part in condition.any_of:
                yield from comparisons(part)
        case Agree():
            yield from comparisons(condition.first)
            yield from comparisons(condition.second)
        case _:
            assert_never(condition)


def operands(condition: Condition) -> tuple[Operand, ...]:
    """Every operand once, in the order written."""
    found = (value for each in comparisons(condition) for value in (each.left, each.right))
    return tuple(dict.fromkeys(value for value in found if isinstance(value, Operand)))


def depth(condition: Condition) -> int:
    """How deep conditions stand inside each other."""
    match condition:
        case Compare():
            return 1
        case Not():
            return 1 + depth(condition.negated)
        case AllOf():
            return 1 + max(depth(part) for part in condition.all_of)
        case AnyOf():
            return 1 + max(depth(part) for part in condition.any_of)
        case Agree():
            return 1 + max(depth(condition.first), depth(condition.second))
        case _:
            assert_never(condition)


def text(condition: Condition) -> str:
    """The condition as it is written in a rule, without the outermost parentheses."""
    match condition:
        case Compare():
            return f"{condition.left} {'==' if condition.equal else '!='} {condition.right}"
        case Not():
            return f"!({text(condition.negated)})"
        case AllOf():
            return " && ".join(_part(part, (Compare, Not)) for part in condition.all_of)
        case AnyOf():
            return " || ".join(_part(part, (Compare, Not, AllOf)) for part in condition.any_of)
        case Agree():
            return f"({text(condition.first)}) {'==' if condition.same else '!='} ({text(condition.second)})"
        case _:
            assert_never(condition)


def _part(condition: Condition, bare: tuple[type, ...]) -> str:
    """A part of a longer condition; what binds less closely stands in parentheses."""
    return text(condition) if isinstance(condition, bare) else f"({text(condition)})"
