"""Requests about how a module is controlled: its switches, loop counter, watched processes, and the planned stop."""

from __future__ import annotations

from dataclasses import asdict

from holdfast.core.decide import decide
from holdfast.core.evolve import usual_switches
from holdfast.core.state import State
from holdfast.core.switching import changed_settings, is_setting, setting_names
from holdfast.errors import OperatorError
from holdfast.events.module import LoopCounted, LoopReset, SettingChanged
from holdfast.events.state import Role

from services.statemachine.module_runner import ModuleRunner
from services.statemachine.readmodel import Json
from services.statemachine.requests import Request, text_of
from services.statemachine.service import StateMachine

CONFIGURATION = "configuration"
"""Who sets a switch back when a configuration is applied anew."""


async def setting(machine: StateMachine, request: Request) -> Json:
    """Switch something on or off; it stays so over stop, start and a restart of the node."""
    runner = machine.runner(text_of(request, "module"))
    name, value = text_of(request, "setting"), request.get("value")
    known = runner.state.settings
    if not is_setting(known, name) or not isinstance(value, bool):
        hint = f"{', '.join(setting_names(known))}: true or false"
        raise OperatorError(f"setting {name!r} cannot be set to {value!r}", hint=hint)
    await runner.decide(SettingChanged(setting=name, value=value, who=text_of(request, "who", "")))
    return {"accepted": True, "reason": ""}


async def reset_switches(runner: ModuleRunner) -> None:
    """Set every switch back to what the configuration says."""
    state = runner.state
    for name, value in changed_settings(state.switches, usual_switches(state.settings)).items():
        await runner.decide(SettingChanged(setting=name, value=not value, who=CONFIGURATION))


async def loop(machine: StateMachine, request: Request) -> Json:
    """Say how loop protection stands; do=count counts one action first, do=reset forgets them all.

    limit_reached: the next automatic action would stop the module (with do=count: the one just counted would have).
    """
    runner = machine.runner(text_of(request, "module"))
    by = text_of(request, "by", "")
    match text_of(request, "do", ""):
        case "":
            reached = _is_limit_reached(machine, runner.state)
        case "count":
            reached = _is_limit_reached(machine, runner.state)
            await runner.decide(LoopCounted(by=by or "operator"))
        case "reset":
            await runner.decide(LoopReset(by=by))
            reached = False
        case other:
            raise OperatorError(f"a loop counter cannot {other!r}", hint="count, reset, or nothing")
    state = runner.state
    recent = state.loop.recent(machine.context.clock.mono_ns(), state.settings.loop_interval_s)
    return {
        "accepted": True,
        "module": runner.module,
        "counted": len(recent),
        "maxloop": state.settings.maxloop,
        "loop_interval_s": state.settings.loop_interval_s,
        "limit_reached": reached,
    }


def _is_limit_reached(machine: StateMachine, state: State) -> bool:
    settings = state.settings
    return not state.loop.allows(
        machine.context.clock.mono_ns(), maxloop=settings.maxloop, loop_interval_s=settings.loop_interval_s
    )


async def processes(machine: StateMachine, request: Request) -> Json:
    """Every process that the configuration has monitored: its class, whether that is on, and whether it is watched."""
    runner = machine.runner(text_of(request, "module"))
    state = runner.state
    watched = {watch.resource for watch in decide(state).watch.processes}
    found = [
        {
            **asdict(watch),
            "resource": watch.resource,
            "process_class": name,
            "class_on": state.switches.is_class_on(name),
            "watched": watch.resource in watched,
            "value": state.resources[watch.resource].value if watch.resource in state.resources else "",
        }
        for name, watches in state.settings.watches.process_classes.items()
        for watch in watches
    ]
    return {"module": runner.module, "errd": state.switches.errd, "processes": found}


async def resync(machine: StateMachine, request: Request) -> Json:
    """How the next resynchronisation of this node is done."""
    runner = machine.runner(text_of(request, "module"))
    state = runner.state
    mode = "full" if state.switches.full_resync else "default"
    return {"module": runner.module, "replicated": state.is_replicated, "mode": mode}


async def shutdown(machine: StateMachine, _request: Request) -> Json:
    """Stop every module, as before the end of the node; one that ran starts again with the node if its boot is auto."""
    await machine.stop_modules(asked=True)
    left = [runner.module for runner in machine.runners.values() if runner.state.role is not Role.STOP]
    return {"accepted": True, "modules": list(machine.runners), "not_stopped": left}
