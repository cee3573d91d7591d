"""What an administrator or a script switches on and off: automatic failover, checkers, process monitoring, its classes,
and whether the next resynchronisation copies everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.core import rules
from holdfast.core.condition import DOWN
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import ROLE_CLASSES, State, Switches

FAILOVER, CHECKER, ERRD, RFSSYNC = "failover", "checker", "errd", "rfssync"
CLASS_PREFIX = f"{ERRD}."
"""`errd.CLASS` is the setting for the processes of one class."""


def is_setting(settings: ModuleSettings, name: str) -> bool:
    """Is there something to switch by this name?"""
    known_class = name.removeprefix(CLASS_PREFIX) in {*ROLE_CLASSES, *settings.watches.process_classes}
    return name in (FAILOVER, CHECKER, ERRD, RFSSYNC) or (name.startswith(CLASS_PREFIX) and known_class)


def setting_names(settings: ModuleSettings) -> tuple[str, ...]:
    """Everything that can be switched."""
    classes = sorted({*ROLE_CLASSES, *settings.watches.process_classes})
    return (FAILOVER, CHECKER, ERRD, RFSSYNC, *(f"{CLASS_PREFIX}{name}" for name in classes))


def switched(state: State, setting: str, value: bool) -> State:
    """Fold a switch. What was said about something while it was not watched is forgotten: it is judged anew."""
    before = state
    match setting:
        case "failover":
            return _with(state, replace(state.switches, failover=value))
        case "rfssync":
            return _with(state, replace(state.switches, full_resync=value))
        case "checker":
            state = _with(state, replace(state.switches, checker=value))
        case "errd":
            state = _with(state, replace(state.switches, errd=value))
        case _ if setting.startswith(CLASS_PREFIX):
            state = _with(state, _with_class(state.switches, setting.removeprefix(CLASS_PREFIX), value))
        case _:
            return state
    return _judged_anew(state, lambda name: rules.is_heeded(state, name) and not rules.is_heeded(before, name))


def changed_settings(switches: Switches, usual: Switches) -> dict[str, bool]:
    """The settings that lead from the usual switches to these, by name."""
    pairs = (
        (FAILOVER, switches.failover, usual.failover),
        (CHECKER, switches.checker, usual.checker),
        (ERRD, switches.errd, usual.errd),
        (RFSSYNC, switches.full_resync, usual.full_resync),
    )
    found = {name: value for name, value, was in pairs if value is not was}
    return found | {f"{CLASS_PREFIX}{name}": name not in ROLE_CLASSES for name in switches.changed_classes}


def _with(state: State, switches: Switches) -> State:
    return replace(state, switches=switches)


def _with_class(switches: Switches, name: str, value: bool) -> Switches:
    others = {each for each in switches.changed_classes if each != name}
    is_changed = value is not (name in ROLE_CLASSES)
    return replace(switches, changed_classes=tuple(sorted({*others, name} if is_changed else others)))


def _judged_anew(state: State, concerns: Callable[[str], bool]) -> State:
    down = tuple(name for name, known in state.resources.items() if known.value == DOWN and concerns(name))
    return rules.forgotten(state, down)
