"""This node and the services that run on it."""

from __future__ import annotations

import asyncio
import json
import os
from importlib.metadata import version

from fastapi import APIRouter
from holdfast.errors import UnavailableError
from pydantic import BaseModel

from services.gateway.parts import GatewayHere

SUPERVISOR_SOCKET = "supervisor.sock"
SUPERVISOR_S_MAX = 2.0
SUPERVISOR_BYTES_MAX = 1 << 20
router = APIRouter(tags=["node"])


class Node(BaseModel):
    """Who this node is."""

    node: str
    cluster: str
    version: str
    kernel: str


class Service(BaseModel, extra="allow"):
    """One service as its supervisor sees it."""

    service: str
    pid: int
    ready: bool
    restarts: int


class Services(BaseModel):
    phase: str
    services: list[Service]


@router.get("/node")
def get_node(gateway: GatewayHere) -> Node:
    """Name and version."""
    settings = gateway.settings
    return Node(node=settings.node, cluster=settings.cluster, version=version("holdfast"), kernel=os.uname().release)


@router.get("/services")
async def get_services(gateway: GatewayHere) -> Services:
    """What runs on this node, asked of the supervisor."""
    return Services.model_validate(await ask_supervisor(gateway, {"request": "list"}))


async def ask_supervisor(gateway: GatewayHere, request: dict[str, str]) -> object:
    """One question on the supervisor's socket; raises UnavailableError."""
    path = gateway.settings.run_dir / SUPERVISOR_SOCKET
    try:
        async with asyncio.timeout(SUPERVISOR_S_MAX):
            reader, writer = await asyncio.open_unix_connection(path, limit=SUPERVISOR_BYTES_MAX)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError) as error:
        raise UnavailableError("the supervisor does not answer", hint="is `holdfast node run` running?") from error
    return answer
