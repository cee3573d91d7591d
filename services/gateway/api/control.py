"""How modules are controlled beyond commands: loop counter, watched processes, boot, resync policy, planned stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from holdfast.errors import NotFoundError, OperatorError
from holdfast.events.state import Role, Status
from holdfast.scripting.processes import Level
from pydantic import BaseModel, Field

from services.gateway.api.state import LOOK_AGAIN_S, WAIT_S_MAX, ModuleState, Waited, state_of
from services.gateway.asking import Answer
from services.gateway.ending import Found, find_and_end
from services.gateway.files import boot, port_list
from services.gateway.files.applying import run_state_script
from services.gateway.files.boot import BootInfo
from services.gateway.files.limits import WHO_CHARS_MAX
from services.gateway.files.module_scripts import Ran
from services.gateway.files.modules import module_place
from services.gateway.files.port_list import PortUse
from services.gateway.parts import Gateway, GatewayHere, Module, checked_text

SHUTDOWN_S_MAX = 85.0
"""The state machine gives its modules 75 s, then says which are left."""
router = APIRouter(tags=["control"])
Timeout = Annotated[float, Query(ge=0, le=WAIT_S_MAX)]
By = Annotated[str, Query(max_length=WHO_CHARS_MAX)]


class Loop(BaseModel):
    """Loop protection. counted: automatic actions within the interval; limit_reached: one more would stop the module,
    or the one just counted would have."""

    module: str
    counted: int
    maxloop: int
    loop_interval_s: int
    limit_reached: bool


class Choice(BaseModel):
    value: bool


class Sought(BaseModel):
    """Processes to look for. name: of the command; argument_regex: POSIX extended expression on the argument list.
    asking: number of the process that asks, which is left alone."""

    name: str = Field(default="", max_length=64)
    argument_regex: str = Field(default="", max_length=1024)
    level: Level = Level.TEST
    asking: int = Field(default=0, ge=0)


class Stopped(BaseModel, extra="ignore"):
    """modules: all that this node runs; not_stopped: those whose stop took too long."""

    modules: list[str]
    not_stopped: list[str]


@router.get("/modules/{module}/loop")
async def get_loop(gateway: GatewayHere, module: Module) -> Loop:
    """How loop protection stands."""
    return await _loop(gateway, module, "", "")


@router.post("/modules/{module}/loop")
async def count_loop(gateway: GatewayHere, module: Module, by: By = "") -> Loop:
    """Count one action of a handler or script; it decides itself what to do at the limit."""
    return await _loop(gateway, module, "count", by)


@router.delete("/modules/{module}/loop")
async def reset_loop(gateway: GatewayHere, module: Module, by: By = "") -> Loop:
    """Forget what was counted."""
    return await _loop(gateway, module, "reset", by)


async def _loop(gateway: Gateway, module: str, do: str, by: str) -> Loop:
    module_place(gateway.settings, module)
    asked = {"module": module, "do": do, "by": checked_text("name of who counts", by, WHO_CHARS_MAX)}
    return Loop.model_validate(await gateway.machine.ask("loop", asked))


@router.get("/modules/{module}/processes")
async def get_processes(gateway: GatewayHere, module: Module) -> Answer:
    """The processes that the configuration has monitored, with class, action, present value, and whether they are
    watched now. A class is switched with `settings/errd.CLASS`."""
    module_place(gateway.settings, module)
    return await gateway.machine.ask("processes", {"module": module})


@router.get("/modules/{module}/resync")
async def get_resync(gateway: GatewayHere, module: Module) -> Answer:
    """How the next resynchronisation is done. `settings/rfssync` true: everything is copied."""
    module_place(gateway.settings, module)
    return await gateway.machine.ask("resync", {"module": module})


@router.get("/boot")
def get_boots(gateway: GatewayHere) -> list[BootInfo]:
    """What the next start of the node does to every module."""
    return boot.boot_infos(gateway.settings)


@router.get("/modules/{module}/boot")
def get_boot(gateway: GatewayHere, module: Module) -> BootInfo:
    """What the next start of the node does to a module."""
    return boot.boot_info(gateway.settings, module)


@router.put("/modules/{module}/boot")
def put_boot(gateway: GatewayHere, module: Module, body: Choice) -> BootInfo:
    """Choose whether a module starts with the node, where its configuration leaves that open (boot="ignore")."""
    return boot.choose_boot(gateway.settings, module, body.value)


@router.get("/ports")
def get_ports(
    gateway: GatewayHere, module: Annotated[str, Query(max_length=64)] = "", id: Annotated[int, Query(ge=0)] = 0
) -> list[PortUse]:
    """The ports of this node, and of a module or of any with an id."""
    if module:
        return port_list.ports_of_module(gateway.settings, module)
    if not id:
        raise OperatorError("which module?", hint="module or id")
    return port_list.ports_of_id(gateway.settings, id)


@router.get("/modules/{module}/state/started")
async def wait_started(gateway: GatewayHere, module: Module, timeout_s: Timeout = WAIT_S_MAX) -> Waited:
    """Answer when the module is Ready in a role, has come to rest in STOP (not reached then), or the time is over."""
    waited = await _settled(
        gateway, module, timeout_s, lambda state: state.status == Status.READY or _is_stopped(state)
    )
    return Waited(reached=waited.state.status == Status.READY, state=waited.state, settled=waited.reached)


@router.get("/modules/{module}/state/stopped")
async def wait_stopped(gateway: GatewayHere, module: Module, timeout_s: Timeout = WAIT_S_MAX) -> Waited:
    """Answer when the module has come to rest in STOP, all its scripts included, or the time is over."""
    return await _settled(gateway, module, timeout_s, _is_stopped)


def _is_stopped(state: ModuleState) -> bool:
    return state.role == Role.STOP and state.status == Status.NOT_READY


async def _settled(
    gateway: Gateway, module: str, timeout_s: float, is_settled: Callable[[ModuleState], bool]
) -> Waited:
    module_place(gateway.settings, module)
    loop = asyncio.get_running_loop()
    end_at = loop.time() + timeout_s
    while True:
        state = await state_of(gateway, module)
        left_s = end_at - loop.time()
        if is_settled(state):
            return Waited(reached=True, state=state)
        if left_s <= 0 or gateway.hub.closing.is_set():
            return Waited(reached=False, state=state)
        await gateway.hub.changed(min(left_s, LOOK_AGAIN_S))


@router.post("/modules/{module}/scripts/state")
async def run_state(gateway: GatewayHere, module: Module) -> Ran:
    """Run the module's own script `state`, which adds to what the command of that name says."""
    module_place(gateway.settings, module)
    ran = await to_thread.run_sync(lambda: run_state_script(gateway.settings, module))
    if ran is None:
        raise NotFoundError(f"module '{module}' has no script state")
    return ran


@router.post("/shutdown")
async def shutdown(gateway: GatewayHere) -> Stopped:
    """Stop every module of this node as before its end; answers when they are stopped."""
    return Stopped.model_validate(await gateway.machine.ask("shutdown", {}, timeout_s=SHUTDOWN_S_MAX))


@router.post("/processes/kill")
def kill(gateway: GatewayHere, body: Sought) -> list[Found]:
    """Find processes of this node by command name and arguments, and send them a signal."""
    return find_and_end(
        name=body.name,
        argument_regex=body.argument_regex,
        level=body.level,
        asking=(os.getpid(), body.asking),
    )
