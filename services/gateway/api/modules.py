"""Installed modules: packages, and switching their configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from anyio import open_file, to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, UnavailableError
from holdfast.events.state import Role, Status

from services.gateway.api.state import state_of
from services.gateway.asking import APPLY_S_MAX
from services.gateway.files import applying, modules
from services.gateway.files.applying import Applied, Checked
from services.gateway.files.information import ConfigurationInfo, configuration_info
from services.gateway.files.module_scripts import Ran
from services.gateway.files.modules import InstalledModule
from services.gateway.parts import Gateway, GatewayHere, Module

CHUNK_BYTES = 1 << 16
router = APIRouter(tags=["modules"])
Name = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Number = Annotated[int | None, Query(ge=1, le=255)]
Kept = Annotated[int | None, Query(ge=1, description="Number of a kept configuration, 1 the newest.")]
RESTING = ((Role.ALONE, Status.READY), (Role.WAIT, Status.NOT_READY))
"""Where a running module takes another configuration."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A module that is not configured any more, and the scripts that were run for that."""

    module: str
    scripts: tuple[Ran, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Uninstalled:
    """A module that is not installed any more. backup: the package that is kept of it."""

    module: str
    backup: str
    scripts: tuple[Ran, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Updated:
    """A running module that has read its configuration again."""

    module: str
    scripts: tuple[Ran, ...] = ()


@router.get("/modules")
def get_modules(gateway: GatewayHere) -> list[InstalledModule]:
    """Every installed module."""
    return modules.listed(gateway.settings)


@router.get("/modules/{module}")
def get_module(gateway: GatewayHere, module: Module) -> InstalledModule:
    """One installed module."""
    return modules.described(gateway.settings, module)


@router.post("/modules")
async def install_module(
    gateway: GatewayHere, request: Request, name: Name, id: Number = None, replace: bool = False
) -> InstalledModule:
    """Install the `.safe` package in the body."""
    with tempfile.TemporaryDirectory(prefix="holdfast-install-") as directory:
        file = Path(directory, f"{name}.safe")
        async with await open_file(file, "wb") as stream:
            async for chunk in request.stream():
                await stream.write(chunk)
        return await to_thread.run_sync(
            lambda: modules.install(gateway.settings, file, name=name, number=id, replace=replace)
        )


@router.delete("/modules/{module}")
async def uninstall_module(gateway: GatewayHere, module: Module) -> Uninstalled:
    """Remove a stopped module; its configuration is taken out of force before, and a package of it is kept."""
    place = modules.module_place(gateway.settings, module)
    ran = (await remove_configuration(gateway, module)).scripts if (place / "active").exists() else ()
    kept = await to_thread.run_sync(lambda: modules.uninstall(gateway.settings, module))
    return Uninstalled(module=module, backup=str(kept), scripts=ran)


@router.get("/modules/{module}/package")
def get_package(gateway: GatewayHere, module: Module) -> StreamingResponse:
    """The module as a `.safe` package."""
    directory = tempfile.TemporaryDirectory(prefix="holdfast-package-")
    file = Path(directory.name, f"{module}.safe")
    modules.build(gateway.settings, module, file)

    def chunks() -> Iterator[bytes]:
        with directory, file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    return StreamingResponse(chunks(), media_type="application/zip")


@router.get("/modules/{module}/configuration")
def get_configuration(gateway: GatewayHere, module: Module) -> ConfigurationInfo:
    """Signature and date of the edited configuration and of the one in force, and those that can be restored."""
    return configuration_info(gateway.settings, module)


@router.post("/modules/{module}/configuration/check")
def check_configuration(gateway: GatewayHere, module: Module) -> Checked:
    """Check the edited configuration with all that it must fit; nothing is changed."""
    return applying.confcheck(gateway.settings, module)


@router.post("/modules/{module}/configuration")
async def apply_configuration(gateway: GatewayHere, module: Module, restore: Kept = None) -> Applied:
    """Check the edited (or a kept) configuration whole, switch to it, and tell the state machine; all or nothing."""
    settings = gateway.settings
    await _check_rest(gateway, module)
    with applying.restored(settings, module, restore):
        change = await to_thread.run_sync(lambda: applying.prepare(settings, module))
        try:
            await _ask_to_apply(gateway, module, change)
            kept = await to_thread.run_sync(lambda: change.keep(datetime.now(UTC)))
        finally:
            change.finish()
    return change.applied(*kept, update=await updated(gateway, module))


@router.post("/modules/{module}/update")
async def update_module(gateway: GatewayHere, module: Module) -> Updated:
    """Read the configuration in force again, with what the host names in it mean now, and run the script `update`."""
    state = await state_of(gateway, module)
    if (state.role, state.status) != (Role.ALONE, Status.READY):
        raise RefusedError(f"the module is {state.role} {state.status}", hint="update is possible in ALONE Ready")
    await gateway.machine.ask("apply", {"module": module, "update": True}, timeout_s=APPLY_S_MAX)
    ran = await updated(gateway, module)
    return Updated(module=module, scripts=() if ran is None else (ran,))


@router.delete("/modules/{module}/configuration")
async def remove_configuration(gateway: GatewayHere, module: Module) -> Removed:
    """Take the applied configuration out of force, if its `deconfig` script and the state machine agree."""
    settings = gateway.settings
    if (role := await _role(gateway, module)) not in ("", Role.STOP):
        raise RefusedError(f"module {module} is {role}", hint="stop it first")
    ran = await to_thread.run_sync(lambda: applying.undo_configuration(settings, module))
    gone = applying.take_away(settings, module)
    try:
        await gateway.machine.ask("remove", {"module": module}, timeout_s=APPLY_S_MAX)
    except NotFoundError:
        # The state machine does not run this module: there is nothing more to end.
        applying.throw_away(gone)
    except HoldfastError:
        applying.give_back(gone)
        raise
    else:
        applying.throw_away(gone)
    return Removed(module=module, scripts=ran)


async def _role(gateway: Gateway, module: str) -> str:
    """The module's role; empty when the state machine does not run it, or does not answer: it will decide itself."""
    try:
        return (await state_of(gateway, module)).role
    except (NotFoundError, UnavailableError):
        return ""


async def _check_rest(gateway: Gateway, module: str) -> None:
    """Refuse before a script is run what the state machine would refuse after it: a module on its way somewhere."""
    try:
        state = await state_of(gateway, module)
    except (NotFoundError, UnavailableError):
        return
    if state.role != Role.STOP and (state.role, state.status) not in RESTING:
        now = f"{state.role} {state.status}"
        raise RefusedError(
            f"the module is {now}", hint="a configuration is applied in STOP, ALONE Ready or WAIT NotReady"
        )


async def updated(gateway: Gateway, module: str) -> Ran | None:
    """Run the script `update` of a module that runs."""
    role = await _role(gateway, module)
    if role in ("", Role.STOP):
        return None
    return await to_thread.run_sync(lambda: applying.update(gateway.settings, module, role))


async def _ask_to_apply(gateway: Gateway, module: str, change: applying.Change) -> None:
    """Switch, then ask; a refusal switches back, so that disk and state machine always agree.

    When the state machine does not answer, the new configuration stays: it is what a restarted one reads.
    """
    change.switch()
    try:
        await gateway.machine.ask("apply", {"module": module}, timeout_s=APPLY_S_MAX)
    except UnavailableError:
        raise
    except HoldfastError:
        change.undo()
        raise
