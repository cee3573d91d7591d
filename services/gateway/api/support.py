"""Support: level, health check, dump, snapshot, clean."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from anyio import open_file, to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from holdfast.bus import subjects
from holdfast.errors import HoldfastError, NotFoundError, RefusedError, UnavailableError
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.module import ForgetScripts
from holdfast.events.state import Role
from holdfast.ids import ModuleId
from pydantic import BaseModel

from services.gateway.api.node import get_services
from services.gateway.api.state import state_of
from services.gateway.files.durable import disk
from services.gateway.files.module_scripts import Ran
from services.gateway.files.modules import module_place
from services.gateway.parts import Gateway, GatewayHere, Module
from services.gateway.support.cleaning import What, clean_log, clean_resources
from services.gateway.support.dump import Told, make_dump
from services.gateway.support.health import Finding, Observed, ServiceSeen, Verdict, examine_health, worst
from services.gateway.support.level import Level, level, module_level
from services.gateway.support.snapshot import write_snapshot

CHUNK_BYTES = 1 << 16
NS_PER_MS = 1_000_000
router = APIRouter(tags=["support"])


class Health(BaseModel):
    """findings: everything that was looked at. result: the worst of them."""

    result: Verdict
    findings: list[Finding]


class Dumped(BaseModel):
    module: str
    directory: str


class Cleaning(BaseModel):
    what: What


class Cleaned(BaseModel):
    """files: logs that were removed. values: earlier values of resources that were forgotten."""

    module: str
    what: What
    files: int = 0
    values: int = 0


@router.get("/level")
def get_level() -> Level:
    """Host, system, version, licence."""
    return level()


@router.post("/modules/{module}/level")
def run_level(gateway: GatewayHere, module: Module) -> Ran:
    """Run the module's script `level`: what it says of the application."""
    return module_level(gateway.settings, module)


@router.get("/healthcheck")
async def get_health(gateway: GatewayHere) -> Health:
    """Paths, configuration, services, disk, clock, kernel, encryption."""
    observed = await observe(gateway)
    findings = await to_thread.run_sync(lambda: examine_health(gateway.settings, observed))
    return Health(result=worst(findings), findings=list(findings))


@router.post("/modules/{module}/dump")
async def dump(gateway: GatewayHere, module: Module) -> Dumped:
    """Write a dump of the module on this node; the last three are kept."""
    return Dumped(module=module, directory=str(await _dump(gateway, module)))


@router.post("/modules/{module}/snapshot")
async def snapshot(gateway: GatewayHere, module: Module) -> StreamingResponse:
    """A new dump, then the last dumps and configurations as one zip."""
    await _dump(gateway, module)
    directory = tempfile.TemporaryDirectory(prefix="holdfast-snapshot-")
    file = Path(directory.name, f"{module}.zip")
    with disk(file):
        await to_thread.run_sync(lambda: write_snapshot(gateway.settings, module, file))

    async def chunks() -> AsyncIterator[bytes]:
        with directory:
            async with await open_file(file, "rb") as stream:
                while data := await stream.read(CHUNK_BYTES):
                    yield data

    return StreamingResponse(chunks(), media_type="application/zip")


@router.post("/modules/{module}/clean")
async def clean(gateway: GatewayHere, module: Module, body: Cleaning) -> Cleaned:
    """Take away logs, earlier values of resources, or what is left of script runs (of a module in STOP)."""
    place = module_place(gateway.settings, module)
    cleaned = Cleaned(module=module, what=body.what)
    if body.what.covers(What.PROCESS):
        await _end_scripts(gateway, module)
    if body.what.covers(What.LOG):
        with disk(place):
            cleaned.files = await to_thread.run_sync(lambda: clean_log(place, gateway.context.clock.wall_ns()))
    if body.what.covers(What.RESOURCE):
        cleaned.values = await to_thread.run_sync(lambda: clean_resources(place))
    return cleaned


async def observe(gateway: Gateway) -> Observed:
    """What a running node can tell of itself."""
    try:
        known = (await get_services(gateway)).services
        services = [ServiceSeen(service=s.service, ready=s.ready, restarts=s.restarts) for s in known]
    except UnavailableError:
        services = None
    behind_ms = None
    if any(figures.peer_heard for figures in gateway.hub.figures.values()):
        # The hybrid clock never goes back and has taken in every beat of the other node's.
        behind_ms = max(0.0, gateway.context.hybrid.now().wall_ms - gateway.context.clock.wall_ns() / NS_PER_MS)
    return Observed(services=services, behind_ms=behind_ms)


async def _dump(gateway: Gateway, module: ModuleId) -> Path:
    module_place(gateway.settings, module)
    observed = await observe(gateway)
    try:
        state = (await state_of(gateway, module)).model_dump()
    except HoldfastError as error:
        state = {"error": str(error)}
    told = Told(observed=observed, state=state)
    return await to_thread.run_sync(lambda: make_dump(gateway.settings, module, told, datetime.now(UTC)))


async def _end_scripts(gateway: Gateway, module: ModuleId) -> None:
    """A module in STOP has no script to run; one that is left over is ended by who runs scripts."""
    try:
        role = (await state_of(gateway, module)).role
    except NotFoundError:
        role = Role.STOP
    if role != Role.STOP:
        raise RefusedError(f"module {module} is {role}", hint="stop it first")
    order = ForgetScripts(reason="cleaned by an operator")
    subject = subjects.order(gateway.settings.cluster, module, "scripts", BY_PAYLOAD[ForgetScripts].name)
    await gateway.context.bus.publish(subject, codec.encode(gateway.context.envelope(module, order)))
