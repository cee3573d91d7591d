"""For load balancers and watchdogs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from holdfast.errors import NotFoundError, RefusedError, UnavailableError
from holdfast.events.state import Role, Status

from services.gateway.api.state import state_of
from services.gateway.parts import GatewayHere, Module

SERVING = frozenset({Role.PRIM.value, Role.ALONE.value, "UP"})
router = APIRouter(tags=["probes"])


@router.get("/var/modules/{module}/ready.txt", response_class=PlainTextResponse)
async def get_ready(gateway: GatewayHere, module: Module) -> PlainTextResponse:
    """200 OK where the application of this module serves, 404 NOT FOUND everywhere else."""
    try:
        state = await state_of(gateway, module)
    except (NotFoundError, RefusedError, UnavailableError):
        return PlainTextResponse("NOT FOUND\n", 404)
    serves = state.role in SERVING and state.status == Status.READY
    return PlainTextResponse("OK\n") if serves else PlainTextResponse("NOT FOUND\n", 404)


@router.get("/healthz", response_class=PlainTextResponse)
async def get_health() -> PlainTextResponse:
    """200 while the gateway answers."""
    return PlainTextResponse("OK\n")
