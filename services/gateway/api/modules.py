"""Installed modules: packages, and switching their configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from anyio import open_file, to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from holdfast.errors import HoldfastError, NotFoundError, UnavailableError

from services.gateway.files import applying, modules
from services.gateway.files.applying import Applied
from services.gateway.files.modules import InstalledModule
from services.gateway.parts import Gateway, GatewayHere, Module

CHUNK_BYTES = 1 << 16
router = APIRouter(tags=["modules"])
Name = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Number = Annotated[int | None, Query(ge=1, le=255)]


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
def uninstall_module(gateway: GatewayHere, module: Module) -> dict[str, str]:
    """Remove a module that is not configured."""
    modules.uninstall(gateway.settings, module)
    return {"module": module}


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


@router.post("/modules/{module}/configuration")
async def apply_configuration(gateway: GatewayHere, module: Module) -> Applied:
    """Check the edited configuration whole, switch to it, and tell the state machine; all or nothing."""
    settings = gateway.settings
    before = modules.described(settings, module).signature
    change = await to_thread.run_sync(lambda: applying.prepare(settings, module))
    try:
        await _ask_to_apply(gateway, module, change)
    finally:
        change.finish()
    signature = change.config.signature
    return Applied(module=module, signature=signature, changed=signature != before, warnings=change.config.warnings)


@router.delete("/modules/{module}/configuration")
async def remove_configuration(gateway: GatewayHere, module: Module) -> dict[str, str]:
    """Take the applied configuration out of force, if the state machine agrees."""
    gone = applying.take_away(gateway.settings, module)
    try:
        await gateway.machine.ask("remove", {"module": module})
    except NotFoundError:
        # The state machine does not run this module: there is nothing more to end.
        applying.throw_away(gone)
    except HoldfastError:
        applying.give_back(gone)
        raise
    else:
        applying.throw_away(gone)
    return {"module": module}


async def _ask_to_apply(gateway: Gateway, module: str, change: applying.Change) -> None:
    """Switch, then ask; a refusal switches back, so that disk and state machine always agree.

    When the state machine does not answer, the new configuration stays: it is what a restarted one reads.
    """
    change.switch()
    try:
        await gateway.machine.ask("apply", {"module": module})
    except UnavailableError:
        raise
    except HoldfastError:
        change.undo()
        raise
