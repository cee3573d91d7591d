"""The requests that the state machine answers: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace

from holdfast.bus import subjects
from holdfast.core.overview import overview
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import State
from holdfast.errors import ConfigError, HoldfastError, NotFoundError, OperatorError, RefusedError, UnavailableError
from holdfast.events import codec
from holdfast.events.module import Action, CommandRequested, ConfigurationRemoved, ResourceReported
from holdfast.events.replication import EstimateResync, VerifyReplicas
from holdfast.events.state import Role, Status
from holdfast.history.translate import module_settings
from holdfast.ids import ModuleId, checked_name

from services.statemachine import control
from services.statemachine.files import ModuleFiles, edited_differs, read_applied
from services.statemachine.module_runner import ModuleRunner
from services.statemachine.readmodel import Json, failed_model, module_model
from services.statemachine.requests import Request, flag_of, text_of
from services.statemachine.service import StateMachine

VERIFY_S_MAX = 24 * 3600.0
STARTS = (Action.START, Action.PRIM, Action.SECOND)
Answer = Callable[[StateMachine, Request], Awaitable[Json]]
log = logging.getLogger("holdfast.statemachine")


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
    runner = machine.runner(text_of(request, "module"))
    command = CommandRequested(
        action=_action(request),
        argument=text_of(request, "argument", ""),
        identity=text_of(request, "identity", ""),
        who=text_of(request, "who", ""),
    )
    if command.action in STARTS and runner.state.role is Role.STOP and runner.state.is_idle:
        await _look_up_again(machine, runner)
    state = await runner.decide(command, trace=text_of(request, "trace", ""))
    if state.refusal is not None:
        return {"accepted": False, "reason": state.refusal.reason, "code": int(RefusedError.exit_code)}
    return {"accepted": True, "reason": "", "role": str(state.role), "status": str(state.status)}


async def _look_up_again(machine: StateMachine, runner: ModuleRunner) -> None:
    """A module that starts takes what host names mean now, and the cluster's configuration in force.

    When that cannot be found out it starts with what it knew.
    """
    try:
        applied = await asyncio.to_thread(read_applied, machine.context.settings, runner.module)
        settings = module_settings(applied, module=runner.module, node=machine.context.settings.node)
    except HoldfastError as error:
        log.warning("module %s starts with the configuration it had: %s", runner.module, error)
        return
    if settings != runner.state.settings:
        await runner.decide(applied)
        machine.write_wanted()


async def _state(machine: StateMachine, request: Request) -> Json:
    wanted = text_of(request, "module", "")
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
    module = ModuleId(checked_name("module", text_of(request, "module")))
    applied = await asyncio.to_thread(read_applied, machine.context.settings, module)
    settings = module_settings(applied, module=module, node=machine.context.settings.node)
    runner = machine.runners.get(module)
    if runner is None:
        await machine.open(module, applied)
    else:
        _check_change(runner.state, settings)
        await runner.decide(applied)
        if not flag_of(request, "update", default=False):
            await control.reset_switches(runner)
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
    before, after = _fixed(state.settings), _fixed(settings)
    for name, value in before.items():
        if value != after[name]:
            raise RefusedError(f"{name} cannot change while the module runs", hint="stop the module first")


def _fixed(settings: ModuleSettings) -> Mapping[str, object]:
    """Settings that may only change while the module is stopped.

    Where the peer is may change: a primary that is alone waits for it to come, whatever its address.
    """
    link = settings.replication
    replication = None if link is None else replace(link, peer_address="")
    return {
        "peer": settings.peer,
        "replication": replication,
        "addresses": settings.addresses,
        # Each node counts on the other's acting by the same one.
        "syncdelta": settings.sync_delta_ms,
    }


async def _remove(machine: StateMachine, request: Request) -> Json:
    module = ModuleId(text_of(request, "module"))
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
    runner = machine.runner(text_of(request, "module"))
    resource, value = text_of(request, "resource"), text_of(request, "value")
    if not all(resource.partition(".")[::2]):
        raise OperatorError(f"resource {resource!r} is not valid", hint="class.id, for example custom.web")
    known = runner.state.resources.get(resource)
    is_new = known is None or known.value != value
    told = {"": is_new, "no": False, "always": True}.get(text_of(request, "log", ""), is_new)
    report = ResourceReported(resource=resource, value=value, by=text_of(request, "by", "") or "operator", told=told)
    await runner.decide(report)
    return {"accepted": True, "reason": ""}


async def _get(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(text_of(request, "module"))
    wanted = text_of(request, "resource", "")
    found = {item.resource: asdict(item) for item in runner.journal.resources()}
    if not wanted:
        return {"resources": found}
    if wanted not in found:
        raise NotFoundError(f"module {runner.module} has no resource {wanted!r}")
    return dict(found[wanted])


async def _rules(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(text_of(request, "module"))
    return {"module": runner.module, "rules": [asdict(each) for each in overview(runner.state)]}


async def _verify(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(text_of(request, "module"))
    if not runner.state.is_replicated:
        raise RefusedError(f"module {runner.module} replicates nothing")
    if not runner.state.is_primary and runner.state.role is not Role.SECOND:
        raise RefusedError(f"module {runner.module} is {runner.state.role} here", hint="it must run on both nodes")
    name = text_of(request, "request", "") or secrets.token_hex(8)
    return await _ask_replication(machine, runner, name, VerifyReplicas(request=name))


async def _estimate(machine: StateMachine, request: Request) -> Json:
    runner = machine.runner(text_of(request, "module"))
    if not runner.state.is_replicated:
        raise RefusedError(f"module {runner.module} replicates nothing")
    if not runner.state.is_primary:
        raise RefusedError(f"module {runner.module} is {runner.state.role} here", hint="ask the node that is primary")
    name = secrets.token_hex(8)
    return await _ask_replication(machine, runner, name, EstimateResync(request=name))


async def _ask_replication(
    machine: StateMachine, runner: ModuleRunner, name: str, order: VerifyReplicas | EstimateResync
) -> Json:
    """Give rfs an order that it answers, and wait for the answer."""
    answer = machine.expect_answer(name)
    await machine.order(runner.module, f"rfs@{runner.module}", order)
    try:
        async with asyncio.timeout(VERIFY_S_MAX):
            return dict(codec.payload_to_jsonable(await answer))
    except TimeoutError as error:
        raise UnavailableError("replication gave no answer") from error
    finally:
        machine.forget_answer(name)


def _action(request: Request) -> Action:
    name = text_of(request, "action")
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
    "setting": control.setting,
    "loop": control.loop,
    "processes": control.processes,
    "resync": control.resync,
    "shutdown": control.shutdown,
    "verify": _verify,
    "estimate": _estimate,
}
