"""From resources to actions: what the rules ask for now, what keeps a module waiting, and when that is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

from holdfast.core.condition import DOWN, INIT, Operand, Side, Values, holds, operands, text
from holdfast.core.judging import culprits, strongest
from holdfast.core.resources import values_of
from holdfast.core.rule import Rule, local_operands, own_rule
from holdfast.core.state import Resource, State, Wish
from holdfast.events.module import Action
from holdfast.events.state import Role, Status

REARMED_CLASSES = frozenset({"proc", "tcp", "ping", "ip", "custom"})
"""Watched only while the role is ready: each time it becomes ready again they are judged anew."""

OBSERVED_CLASSES = frozenset(
    {"heartbeat", "heartbeatlocaladdr", "rfs", "state", "heart", "usersetting", "vip", "splitbrain", "node"}
)
"""Observed by the engine itself.

No switch of an administrator leaves them out, no action forgets them, no rule assigns them.
"""

ENDING_ACTIONS = frozenset({Action.STOP, Action.STOPSTART})
"""Actions that mean something to a module that waits."""

RESOURCES_MAX = 1_000
"""Resources remembered per module; a configuration has tens. More would be a checker gone wild."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An action that a rule asks for. resource: what is behind it, as a rule names it. by: who assigned that.
    resets: resources of this node to be judged anew once the action is taken. why: in words."""

    action: Action
    label: str
    resource: str
    by: str
    resets: tuple[str, ...]
    why: str


def class_of(resource: str) -> str:
    return resource.partition(".")[0]


def is_heeded(state: State, name: str) -> bool:
    """Has the administrator left what sets resources of this class switched on?"""
    if class_of(name) in OBSERVED_CLASSES:
        return True
    if class_of(name) != "proc":
        return state.switches.checker
    watched_class = state.settings.watches.class_of_process(name)
    return state.switches.is_class_on(watched_class) if watched_class else state.switches.errd


def holding(state: State, values: Values) -> Iterator[Rule]:
    """The rules of the configuration that are in force and hold, then one for each resource that is down, brings an
    action and that no rule looks at. A rule about what an administrator has switched off does not hold."""
    for rule in state.settings.rules.rules:
        if rule.is_in_force and holds(rule.condition, values) and is_switched_on(state, rule):
            yield rule
    for name, resource in sorted(state.resources.items()):
        if resource.value == DOWN and resource.action and is_heeded(state, name):
            action = _action_of(resource)
            if action is not Action.NOACTION and not state.settings.rules.covers(name):
                yield own_rule(name, action)


def is_switched_on(state: State, rule: Rule) -> bool:
    """Has the administrator left everything on that the rule looks at on this node?"""
    return all(is_heeded(state, operand.name) for operand in local_operands(rule.condition))


def _action_of(resource: Resource) -> Action:
    try:
        return Action(resource.action)
    except ValueError:
        return Action.NOACTION


def wanted(state: State) -> Wanted | None:
    """What the rules ask for now: the strongest action of those that hold and may act, of equal ones the first.

    They act in a ready role; in WAIT only on what is watched in any state, and only to end the module: there is no
    application to restart, and waiting goes on anyway (`blocking`).
    """
    if state.role is Role.STOP or (state.role is not Role.WAIT and state.status is not Status.READY):
        return None
    values = values_of(state)
    rule = strongest(rule for rule in holding(state, values) if may_act(state, rule))
    return None if rule is None else _wanted(state, rule, values)


def blocking(state: State) -> Wanted | None:
    """A wait rule that holds: it keeps the module in WAIT, whatever else."""
    values = values_of(state)
    rule = next((rule for rule in holding(state, values) if rule.action is Action.WAIT), None)
    return None if rule is None else _wanted(state, rule, values)


def may_act(state: State, rule: Rule) -> bool:
    """May this rule, should it hold, do what it says in the present state?"""
    names = _down_here(state, rule)
    if names and all(_is_left_to_handler(state, name) for name in names):
        return False
    return _acts_now(state, names, rule.action)


def _down_here(state: State, rule: Rule) -> tuple[str, ...]:
    """Resources of this node that the rule looks at and that are down."""
    found = local_operands(rule.condition)
    down = (name for name, resource in state.resources.items() if resource.value == DOWN)
    return tuple(name for name in sorted(down) if any(operand.covers(name) for operand in found))


def _wanted(state: State, rule: Rule, values: Values) -> Wanted:
    found = culprits(rule.condition, values, DOWN)
    behind: Operand | None = next(iter(found or operands(rule.condition)), None)
    known = state.resources.get(behind.name) if behind is not None and behind.side is Side.LOCAL else None
    is_down = f"{found[0]} is down" if found else f"{text(rule.condition)} holds"
    return Wanted(
        action=rule.action,
        label=rule.label,
        resource=str(behind) if behind is not None else rule.label,
        by=known.by if known is not None else "",
        resets=tuple(name for name in _down_here(state, rule) if class_of(name) not in OBSERVED_CLASSES),
        why=f"rule {rule.label}: {is_down}",
    )


def _acts_now(state: State, names: tuple[str, ...], action: Action) -> bool:
    match state.role:
        case Role.STOP:
            return False
        case Role.WAIT:
            always = bool(names) and all(is_watched_always(state, name) for name in names)
            return action in ENDING_ACTIONS and always and state.is_idle
        case _:
            return state.status is Status.READY


def is_watched_always(state: State, name: str) -> bool:
    """Is this resource watched from after prestart until poststop, whatever the role?"""
    return name in state.settings.watches.pre_resources


def _is_left_to_handler(state: State, name: str) -> bool:
    """The module's own handler deals with it, as long as it does not fail."""
    if all(handler.resource != name for handler in state.settings.handlers):
        return False
    return not any(run.resource == name and run.has_failed for run in state.handlers)


def services_of(state: State, names: tuple[str, ...]) -> str:
    """The services that a restart because of these resources is about; empty for all."""
    return next((each.services for each in state.settings.targeted_restarts if each.resource in names), "")


def may_be_handled(state: State, name: str) -> bool:
    """May a handler be run for this resource now?"""
    resource = state.resources.get(name)
    if resource is None or resource.value != DOWN or state.wish is not Wish.NONE or not is_heeded(state, name):
        return False
    return _acts_now(state, (name,), Action.STOPSTART)


def with_resource(state: State, name: str, resource: Resource) -> State:
    """The state with this value assigned."""
    if name not in state.resources and len(state.resources) >= RESOURCES_MAX:
        return state
    return replace(state, resources=MappingProxyType({**state.resources, name: resource}))


def forgotten(state: State, names: tuple[str, ...]) -> State:
    """The state with these resources as they are before anybody has judged them."""
    fresh = {name: replace(state.resources[name], value=INIT) for name in names if name in state.resources}
    return replace(state, resources=MappingProxyType({**state.resources, **fresh})) if fresh else state


def judged_anew(state: State) -> State:
    """Forget what re-armed checkers said before the role became ready: it was about an application being moved."""
    return forgotten(
        state,
        tuple(
            name
            for name, resource in state.resources.items()
            if resource.value == DOWN and class_of(name) in REARMED_CLASSES and not is_watched_always(state, name)
        ),
    )


# -- time ---------------------------------------------------------------------------------------------------------


def looked(state: State) -> State:
    """The state after a look at the rules: what they assign is assigned, and what they ask for is remembered with its
    time when the configuration wants an action to last before it is taken."""
    settings = state.settings.rules
    if state.role is Role.STOP or not state.handling.is_look(state.now_mono_ns, period_ms=settings.period_ms):
        return state
    for rule in settings.rules:
        if rule.assigns and rule.is_in_force and is_switched_on(state, rule):
            state = _assigned(state, rule) if holds(rule.condition, values_of(state)) else state
    return timed(state)


def timed(state: State) -> State:
    """The state with what the rules ask for now remembered, if that matters and somebody looks now."""
    settings = state.settings.rules
    if not settings.is_timed or state.role is Role.STOP:
        return state
    handling = state.handling.looked(_asked(state), state.now_mono_ns, period_ms=settings.period_ms)
    return replace(state, handling=handling)


def _assigned(state: State, rule: Rule) -> State:
    known = state.resources.get(rule.assigns)
    if known is not None and known.value == rule.value:
        return state
    action = known.action if known is not None else state.settings.watches.action_of(rule.assigns)
    return with_resource(state, rule.assigns, Resource(value=rule.value, by=f"rule {rule.label}", action=action))


def _asked(state: State) -> Action:
    """What the rules ask for now, waiting in WAIT included."""
    asked = wanted(state)
    if asked is not None:
        return asked.action
    return Action.WAIT if state.role is Role.WAIT and blocking(state) is not None else Action.NOACTION


def is_due(state: State, action: Action) -> bool:
    """Has what the rules ask for lasted long enough, and is now when they are looked at? NOACTION: they ask nothing."""
    settings = state.settings.rules
    if not settings.is_timed:
        return True
    is_look = settings.period_ms == 0 or state.handling.looked_at_mono_ns == state.now_mono_ns
    return is_look and state.handling.is_ripe(action, state.now_mono_ns, handle_time_ms=settings.handle_time_ms)


def due_mono_ns(state: State) -> int | None:
    """When time alone makes the rules act, if it does."""
    settings = state.settings.rules
    if not settings.is_timed or state.role is Role.STOP:
        return None
    asked = _asked(state)
    waits_on = Action.WAIT if state.blocked_resource else Action.NOACTION
    if asked is waits_on and state.handling.action is asked:
        return None
    at = state.handling.due_mono_ns(asked, period_ms=settings.period_ms, handle_time_ms=settings.handle_time_ms)
    return at if at > state.now_mono_ns else None
