"""What modules are now."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from holdfast.errors import NotFoundError, UnavailableError
from holdfast.events.state import Role, Status
from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.files.information import configuration_info
from services.gateway.files.modules import module_place
from services.gateway.parts import Gateway, GatewayHere, Module

LOOK_AGAIN_S = 0.5
"""A change is heard of at once; this is for facts lost on the way."""
WAIT_S_MAX = 3600.0
DETAILS = ("active", "current", "same", "kept")
"""What of the configuration's description a detailed state holds."""
router = APIRouter(tags=["state"])


class ModuleState(BaseModel):
    """A module's state on this node; the state machine may say more than these."""

    model_config = ConfigDict(extra="allow")
    module: str
    role: str
    status: str
    reason: str = ""
    epoch: int = 0


class Waited(BaseModel):
    """reached: was the state reached in time; state: what it was at last. settled: waiting longer is of no use."""

    reached: bool
    state: ModuleState
    settled: bool = False


@router.get("/state")
async def get_states(gateway: GatewayHere) -> list[ModuleState]:
    """Every configured module."""
    return await states_of(gateway, "")


@router.get("/modules/{module}/state")
async def get_state(gateway: GatewayHere, module: Module, detail: bool = False) -> ModuleState:
    """One module; `detail` adds signature and date of its edited configuration and of the one in force."""
    module_place(gateway.settings, module)
    state = await state_of(gateway, module)
    return await to_thread.run_sync(lambda: _detailed(gateway, state)) if detail else state


def _detailed(gateway: Gateway, state: ModuleState) -> ModuleState:
    said = state.model_dump()
    known = said.get("configuration")
    info = asdict(configuration_info(gateway.settings, state.module))
    configuration = {**(known if isinstance(known, dict) else {}), **{key: info[key] for key in DETAILS}}
    return ModuleState.model_validate({**said, "configuration": configuration})


@router.get("/modules/{module}/state/wait")
async def wait_for_state(
    gateway: GatewayHere,
    module: Module,
    role: Role | str,
    ready: bool = False,
    timeout_s: Annotated[float, Query(ge=0, le=WAIT_S_MAX)] = WAIT_S_MAX,
) -> Waited:
    """Answer when the module has reached a role (and is ready in it), or when the time is over."""
    module_place(gateway.settings, module)
    loop = asyncio.get_running_loop()
    end_at = loop.time() + timeout_s
    while True:
        state = await state_of(gateway, module)
        if state.role == role and (not ready or state.status == Status.READY or role == Role.STOP):
            return Waited(reached=True, state=state)
        left_s = end_at - loop.time()
        if left_s <= 0 or gateway.hub.closing.is_set():
            return Waited(reached=False, state=state)
        await gateway.hub.changed(min(left_s, LOOK_AGAIN_S))


async def state_of(gateway: Gateway, module: str) -> ModuleState:
    """The module's state; one that is installed but not configured is said to be not found."""
    for state in await states_of(gateway, module):
        if state.module == module:
            return state
    raise NotFoundError(f"module '{module}' is not configured", hint=f"holdfast config -m {module}")


async def states_of(gateway: Gateway, module: str) -> list[ModuleState]:
    answer = await gateway.machine.ask("state", {"module": module} if module else {})
    try:
        states = [ModuleState.model_validate(each) for each in answer["modules"]]
    except (ValidationError, TypeError, KeyError) as error:
        raise UnavailableError(f"the state machine's answer cannot be understood: {error}") from error
    return sorted(states, key=lambda state: state.module)
