"""The requests that the state machine answers: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

from holdfast.bus import subjects
from holdfast.core.overview import overview
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import State
from holdfast.errors import ConfigError, HoldfastError, NotFoundError, OperatorError, RefusedError, UnavailableError
from holdfast.events import codec
from holdfast.events.module import Action, CommandRequested, ConfigurationRemoved, ResourceReported, SettingChanged
from holdfast.events.replication import VerifyReplicas
from holdfast.events.state import Role, Status
from holdfast.history.translate import module_settings
from holdfast.ids import ModuleId, checked_name

from services.statemachine.files import ModuleFiles, edited_differs, read_applied
from services.statemachine.module_runner import ModuleRunner
from services.statemachine.readmodel import Json, failed_model, module_model
from services.statemachine.service import StateMachine

TEXT_CHARS_MAX = 1024
"""Longest text accepted as a value, a name or an argument."""
VERIFY_S_MAX = 24 * 3600.0
SETTINGS = ("failover", "checker", "errd")
FIXED_WHILE_RUNNING = ("peer", "replication", "addresses")
"""Settings that may only change while the module is stopped."""

Request = Mapping[str, object]
Answer = Callable[[StateMachine, Request], Awaitable[Json]]


async def answer_all(machine: StateMachine) -> None:
    """Begin to answer."""
    for verb, answer in VERBS.items():
        subject = subjects.ask(machine.context.settings.cluster, machine.context.name, verb)
        await machine.context.bus.answer(subject, _answerer(machine, answer))


def _answerer(machine: StateMachine, answer: Answer) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def reply(_subject: str, data: bytes) -> bytes:
        try:
            request = json.loads(data or b"{}")
            if not isinstance(request, dict):
                raise OperatorError("the request is not a JSON object")
            body = await answer(machine, request)
        except HoldfastError as error:
            body = refusal(error)
        except ValueError as error:
            body = refusal(OperatorError(f"the request is not JSON: {error}"))
        return json.dumps(body).encode()

    return reply


def refusal(error: HoldfastError) -> Json:
    """Return an error as an answer: class by exit code, reason in words, and every problem of a configuration."""
    problems = [str(problem) for problem in error.problems] if isinstance(error, ConfigError) else []
    return {"accepted": False, "reason": str(error), "code": int(error.exit_code), "problems": problems}


async def _command(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    command = CommandRequested(
        action=_action(request),
        argument=_text(request, "argument", ""),
        identity=_text(request, "identity", ""),
        who=_text(request, "who", ""),
    )
    state = await runner.decide(command, trace=_text(request, "trace", ""))
    if state.refusal is not None:
        return {"accepted": False, "reason": state.refusal.reason, "code": int(RefusedError.exit_code)}
    return {"accepted": True, "reason": "", "role": str(state.role), "status": str(state.status)}


async def _state(machine: StateMachine, request: Request) -> Json:
    wanted = _text(request, "module", "")
    names = [ModuleId(wanted)] if wanted else list(machine.runners)
    models = [_model(machine, machine.runners[name]) for name in names if name in machine.runners]
    broken = [failed_model(name, why) for name, why in machine.failures.items() if wanted in ("", name)]
    if wanted and not models and not broken:
        machine.runner(wanted)
    return {"node": machine.context.settings.node, "modules": [*models, *broken]}


def _model(machine: StateMachine, runner: ModuleRunner) -> Json:
    files = ModuleFiles(root=machine.context.settings.module_dir(runner.module))
    noted = next(iter(runner.journal.states(limit=1)), None)
    last = asdict(noted) if noted is not None else None
    return module_model(runner.state, runner.journal.resources(), edited=edited_differs(files), last=last)


async def _apply(machine: StateMachine, request: Request) -> Json:
    module = ModuleId(checked_name("module", _text(request, "module")))
    applied = await asyncio.to_thread(read_applied, machine.context.settings, module)
    settings = module_settings(applied, module=module, node=machine.context.settings.node)
    runner = machine.runners.get(module)
    if runner is None:
        await machine.open(module, applied)
    else:
        _check_change(runner.state, settings)
        await runner.decide(applied)
    machine.write_wanted()
    return {"accepted": True, "reason": "", "signature": applied.signature}


def _check_change(state: State, settings: ModuleSettings) -> None:
    """A running module takes a new configuration only where nothing is under way, and only in what may change."""
    if state.role is Role.STOP and state.is_idle:
        return
    if (state.role, state.status) not in ((Role.ALONE, Status.READY), (Role.WAIT, Status.NOT_READY)):
        now = f"{state.role} {state.status}"
        raise RefusedError(
            f"the module is {now}", hint="a configuration is applied in STOP, ALONE Ready or WAIT NotReady"
        )
    for name in FIXED_WHILE_RUNNING:
        if getattr(state.settings, name) != getattr(settings, name):
            raise RefusedError(f"{name} cannot change while the module runs", hint="stop the module first")


async def _remove(machine: StateMachine, request: Request) -> Json:
    module = ModuleId(_text(request, "module"))
    if module in machine.failures and module not in machine.runners:
        del machine.failures[module]
        return {"accepted": True, "reason": ""}
    runner = machine.runner(module)
    if runner.state.role is not Role.STOP or not runner.state.is_idle:
        raise RefusedError(f"module {module} is {runner.state.role}", hint="stop it first")
    await runner.decide(ConfigurationRemoved())
    await machine.remove(module)
    return {"accepted": True, "reason": ""}


async def _set(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    resource, value = _text(request, "resource"), _text(request, "value")
    if not all(resource.partition(".")[::2]):
        raise OperatorError(f"resource {resource!r} is not valid", hint="class.id, for example custom.web")
    report = ResourceReported(resource=resource, value=value, by=_text(request, "by", "") or "operator")
    await runner.decide(report)
    return {"accepted": True, "reason": ""}


async def _get(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    wanted = _text(request, "resource", "")
    found = {item.resource: asdict(item) for item in runner.journal.resources()}
    if not wanted:
        return {"resources": found}
    if wanted not in found:
        raise NotFoundError(f"module {runner.module} has no resource {wanted!r}")
    return dict(found[wanted])


async def _rules(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    return {"module": runner.module, "rules": [asdict(each) for each in overview(runner.state)]}


async def _setting(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    name, value = _text(request, "setting"), request.get("value")
    if name not in SETTINGS or not isinstance(value, bool):
        raise OperatorError(
            f"setting {name!r} cannot be set to {value!r}", hint=f"{', '.join(SETTINGS)}: true or false"
        )
    await runner.decide(SettingChanged(setting=name, value=value, who=_text(request, "who", "")))
    return {"accepted": True, "reason": ""}


async def _verify(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(_text(request, "module"))
    if not runner.state.is_replicated:
        raise RefusedError(f"module {runner.module} replicates nothing")
    if not runner.state.is_primary and runner.state.role is not Role.SECOND:
        raise RefusedError(f"module {runner.module} is {runner.state.role} here", hint="it must run on both nodes")
    name = _text(request, "request", "") or secrets.token_hex(8)
    answer = machine.expect_verification(name)
    await machine.order(runner.module, f"rfs@{runner.module}", VerifyReplicas(request=name))
    try:
        async with asyncio.timeout(VERIFY_S_MAX):
            verified = await answer
    except TimeoutError as error:
        raise UnavailableError("the comparison of the replicas gave no result") from error
    return dict(codec.payload_to_jsonable(verified))


def _text(request: Request, name: str, default: str | None = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX or (default is None and not value):
        raise OperatorError(f"{name!r} is missing or not a text of at most {TEXT_CHARS_MAX} characters")
    return value


def _action(request: Request) -> Action:
    name = _text(request, "action")
    try:
        return Action(name)
    except ValueError:
        known = ", ".join(action.value for action in Action)
        raise OperatorError(f"there is no action {name!r}", hint=known) from None


async def _alive(machine: StateMachine, _request: Request) -> Json:
    """The sign of life on which the heartbeat goes on saying what we ordered last."""
    return {"accepted": not machine.context.stopping.is_set(), "modules": len(machine.runners)}


VERBS: Mapping[str, Answer] = {
    "alive": _alive,
    "command": _command,
    "state": _state,
    "apply": _apply,
    "remove": _remove,
    "set": _set,
    "get": _get,
    "rules": _rules,
    "setting": _setting,
    "verify": _verify,
}
