"""One failover rule: a condition on resources, and what follows while it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from holdfast.core.condition import DOWN, Compare, Condition, Operand, Side, Word, operands, text
from holdfast.events.module import Action

RULE_ACTIONS = (Action.STOP, Action.STOPSTART, Action.WAIT, Action.SWAP, Action.RESTART, Action.NOACTION)
"""What a rule may ask for, the strongest first: of several rules that hold, the strongest action is taken."""

LABEL_PREFIXES: Mapping[str, str] = MappingProxyType({"tcp": "t_", "ping": "p_", "custom": "c_", "proc": "e_"})
"""What the label of a rule made for a checker begins with; the model's, save that of processes, which it never told."""

IMPLICIT_WAKEUP = "Implicit_wakeup"
"""Label of the rule that ends waiting once no wait rule holds."""


class Origin(StrEnum):
    """Where a rule comes from."""

    USER = "configuration"
    CHECKER = "checker"
    """Made for a checker or a watched process, from its `action`."""
    DEFAULT = "default"
    TABLE = "transition table"
    """Always in force and obeyed by the transition table itself: what keeps data safe is not for rules to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """assigns: the resource that gets `value` while the condition holds, for a rule that assigns instead of acting.
    inactive: why the rule is only shown ("" for one in force)."""

    label: str
    condition: Condition
    action: Action = Action.NOACTION
    assigns: str = ""
    value: str = ""
    origin: Origin = Origin.USER
    inactive: str = ""

    @property
    def is_in_force(self) -> bool:
        """Is it looked at by the rules' evaluation? What the transition table keeps by itself is not."""
        return not self.inactive and self.origin is not Origin.TABLE

    def __str__(self) -> str:
        """The rule in the plain language."""
        follows = f"{self.assigns}={self.value}" if self.assigns else f"{self.action.value}()"
        return f"{self.label}: if ({text(self.condition)}) then {follows};"


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """The rules of a module. period_ms: how often they are looked at, 0: at every event. handle_time_ms: how long an
    action must have been the one wanted before it is taken. told: what the other node's rules read of this one, beside
    what every announcement says anyway; both nodes have the same rules."""

    rules: tuple[Rule, ...] = ()
    period_ms: int = 0
    handle_time_ms: int = 0
    told: tuple[Operand, ...] = ()

    @property
    def is_timed(self) -> bool:
        return self.period_ms > 0 or self.handle_time_ms > 0

    def waits_for(self, resource: str, own: Action) -> bool:
        """Does a wait rule look at this resource of this node? own: the action that the resource brings itself."""
        if not self.covers(resource):
            return own is Action.WAIT
        waits = (rule for rule in self.rules if rule.is_in_force and rule.action is Action.WAIT)
        return any(operand.covers(resource) for rule in waits for operand in local_operands(rule.condition))

    def covers(self, resource: str) -> bool:
        """Does any rule, in force or not, look at this resource of this node?"""
        return any(operand.covers(resource) for rule in self.rules for operand in local_operands(rule.condition))


def local_operands(condition: Condition) -> tuple[Operand, ...]:
    """Every operand of this node, in the order written."""
    return tuple(operand for operand in operands(condition) if operand.side is Side.LOCAL)


def own_rule(resource: str, action: Action) -> Rule:
    """The rule that a checker brings with its resource."""
    resource_class, _, ident = resource.partition(".")
    return Rule(
        label=f"{LABEL_PREFIXES.get(resource_class, f'{resource_class}_')}{ident}",
        condition=Compare(left=Operand(resource_class=resource_class, ident=ident), right=Word(state=DOWN)),
        action=action,
        origin=Origin.CHECKER,
    )
