"""Every rule of a module as an operator wants to see it: what it looks at, its result, what would make it act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.core import rules
from holdfast.core.judging import RuleView, views
from holdfast.core.resources import values_of
from holdfast.core.rule import IMPLICIT_WAKEUP, Origin, Rule
from holdfast.core.state import State, Wish
from holdfast.core.steps import NS_PER_MS
from holdfast.events.module import Action
from holdfast.events.state import Role, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleState:
    """One rule. text: as it is written. result: does its condition hold. seen: what it looks at with present values.
    acts: "now", or what would have to be for it to act, in words; why not at all, for one that is not in force."""

    label: str
    origin: str
    text: str
    in_force: bool
    result: bool
    seen: tuple[tuple[str, str], ...]
    acts: str


def overview(state: State) -> tuple[RuleState, ...]:
    """All rules: the configuration's, those that resources bring along, and the one that ends waiting."""
    values = values_of(state)
    known = {rule.label for rule in state.settings.rules.rules}
    brought = (rule for rule in rules.holding(state, values) if rule.label not in known)
    looked_at = views((*state.settings.rules.rules, *brought), values)
    return (*(_rule_state(state, view) for view in looked_at), _wakeup(state))


def holding_labels(state: State) -> frozenset[str]:
    """Labels of the rules in force that hold now."""
    return frozenset(rule.label for rule in rules.holding(state, values_of(state)))


def _rule_state(state: State, view: RuleView) -> RuleState:
    rule = view.rule
    return RuleState(
        label=rule.label,
        origin=rule.origin.value,
        text=str(rule),
        in_force=not rule.inactive,
        result=view.holds,
        seen=view.seen,
        acts=rule.inactive or "; ".join(_missing(state, view)) or "now",
    )


def _missing(state: State, view: RuleView) -> Iterator[str]:
    """Everything that stands between a rule and its action."""
    rule = view.rule
    if view.needs:
        yield f"when {view.needs}"
    if rule.origin is Origin.TABLE:
        if view.holds:
            yield "kept by the transition table"
        return
    if rule.action is Action.NOACTION and not rule.assigns:
        yield "never: it asks for noaction"
        return
    if not rules.is_switched_on(state, rule):
        yield "checkers or errd are switched off"
    if view.holds and not rule.assigns:
        yield from _obstacles(state, rule)


def _obstacles(state: State, rule: Rule) -> Iterator[str]:
    """What keeps a rule that holds from acting."""
    if state.role is Role.STOP:
        yield "when the module is started"
    elif state.role is Role.WAIT and rule.action is Action.WAIT:
        yield "now: it keeps the module in WAIT"
    elif state.role is Role.WAIT and not rules.may_act(state, rule):
        yield "when the module has a role"
    elif state.status is not Status.READY and state.role is not Role.WAIT:
        yield f"when the module is Ready (it is {state.role} {state.status})"
    elif not rules.may_act(state, rule):
        yield "when the handler has failed"
    elif state.wish is not Wish.NONE:
        yield f"when {state.wish} is done"
    elif not rules.is_due(state, rule.action):
        due = rules.due_mono_ns(state)
        yield f"in {(due - state.now_mono_ns) // NS_PER_MS} ms" if due is not None else "with the next look"


def _wakeup(state: State) -> RuleState:
    """Its condition is about rules: no wait rule holds."""
    blocking = rules.blocking(state)
    waits = state.role is Role.WAIT and bool(state.blocked_resource)
    if not waits:
        acts = "when a wait rule keeps the module in WAIT"
    else:
        acts = "now" if blocking is None else f"when rule {blocking.label} no longer holds"
    return RuleState(
        label=IMPLICIT_WAKEUP,
        origin=Origin.TABLE.value,
        text=f"{IMPLICIT_WAKEUP}: if (no wait rule holds) then wakeup();",
        in_force=True,
        result=blocking is None,
        seen=(("rule", blocking.label),) if blocking is not None else (),
        acts=acts,
    )
