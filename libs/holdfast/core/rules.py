"""From resources to actions: what a resource that is down asks for, and when waiting for one is over.

The rule language of configurations will give its own rows here; the product's default rules are `CLASS_ACTIONS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from holdfast.core.state import Resource, State
from holdfast.events.module import Action
from holdfast.events.state import Role, Status

DOWN = "down"
INIT = "init"

CLASS_ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        "proc": Action.STOPSTART,
        "tcp": Action.RESTART,
        "intf": Action.WAIT,
        "module": Action.WAIT,
        "ip": Action.STOPSTART,
    }
)
"""What going down asks for when the resource brings no action of its own (the model's default rules)."""

REARMED_CLASSES = frozenset({"proc", "tcp"})
"""Watched only while the role is ready: each time it becomes ready again they are judged anew."""

RESOURCES_MAX = 1_000
"""Resources remembered per module; a configuration has tens. More would be a checker gone wild."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An action that a resource asks for."""

    action: Action
    resource: str
    by: str


def class_of(resource: str) -> str:
    return resource.partition(".")[0]


def action_for(name: str, resource: Resource) -> Action:
    """The action for this resource going down; NOACTION when it has none."""
    if resource.action:
        try:
            return Action(resource.action)
        except ValueError:
            return Action.NOACTION
    return CLASS_ACTIONS.get(class_of(name), Action.NOACTION)


def is_heeded(state: State, name: str) -> bool:
    """Has the administrator left the checkers of this class switched on?"""
    return state.switches.errd if class_of(name) == "proc" else state.switches.checker


def wanted(state: State) -> Wanted | None:
    """The action that a resource that is down asks for now, the first by name; only in a ready role."""
    if state.role in (Role.STOP, Role.WAIT) or state.status is not Status.READY:
        return None
    for name in sorted(name for name, resource in state.resources.items() if resource.value == DOWN):
        resource = state.resources[name]
        action = action_for(name, resource)
        if action is not Action.NOACTION and is_heeded(state, name):
            return Wanted(action=action, resource=name, by=resource.by)
    return None


def blocking_resource(state: State) -> str:
    """A resource that is down and asks for waiting: it keeps the module in WAIT."""
    for name in sorted(name for name, resource in state.resources.items() if resource.value == DOWN):
        if action_for(name, state.resources[name]) is Action.WAIT and is_heeded(state, name):
            return name
    return ""


def with_resource(state: State, name: str, resource: Resource) -> State:
    """The state with this value assigned."""
    if name not in state.resources and len(state.resources) >= RESOURCES_MAX:
        return state
    return replace(state, resources=MappingProxyType({**state.resources, name: resource}))


def judged_anew(state: State) -> State:
    """Forget what re-armed checkers said before the role became ready: it was about an application being moved."""
    stale = [
        name
        for name, resource in state.resources.items()
        if resource.value == DOWN and class_of(name) in REARMED_CLASSES
    ]
    if not stale:
        return state
    fresh = {name: replace(state.resources[name], value=INIT) for name in stale}
    return replace(state, resources=MappingProxyType({**state.resources, **fresh}))
