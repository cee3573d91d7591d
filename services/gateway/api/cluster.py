"""The cluster's configuration on this node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from holdfast.errors import HoldfastError, RefusedError, UnavailableError
from holdfast.events.state import Role
from pydantic import BaseModel, Field

from services.gateway.api.modules import updated
from services.gateway.asking import APPLY_S_MAX
from services.gateway.files.cluster import (
    ClusterInfo,
    apply_cluster,
    cluster_info,
    lock_cluster,
    remove_cluster,
    renew_key,
)
from services.gateway.files.modules import names
from services.gateway.parts import Gateway, GatewayHere

router = APIRouter(tags=["cluster"])


class ClusterText(BaseModel):
    """A cluster.xml, the text of a key file (empty: keep or make one), and this node's name (empty: find out)."""

    xml: str = Field(max_length=1 << 20)
    key: str = Field(default="", max_length=4096)
    node: str = Field(default="", max_length=64)


@router.get("/cluster")
def get_cluster(gateway: GatewayHere) -> ClusterInfo:
    """Signature and date of what is in force."""
    return cluster_info(gateway.settings)


@router.post("/cluster")
async def put_cluster(gateway: GatewayHere, body: ClusterText) -> ClusterInfo:
    """Check it, look its host names up, and put it in force; modules that cannot take it now are named."""
    key = body.key.encode() if body.key else None
    info = await to_thread.run_sync(lambda: apply_cluster(gateway.settings, body.xml.encode(), key=key, node=body.node))
    said = [await _taken(gateway, module) for module in configured(gateway)]
    return replace(info, warnings=(*info.warnings, *(text for text in said if text)))


class Lock(BaseModel):
    """Is the cluster's configuration to stay as it is."""

    locked: bool


@router.put("/cluster/lock")
async def put_lock(gateway: GatewayHere, body: Lock) -> ClusterInfo:
    """Lock the cluster's configuration on this node, or unlock it."""
    return await to_thread.run_sync(lock_cluster, gateway.settings, body.locked)


@router.post("/cluster/key")
async def post_key(gateway: GatewayHere) -> ClusterInfo:
    """Make a new key; refused while a module of this node runs, since nodes with different keys ignore each other."""
    running = [state["module"] for state in (await gateway.machine.ask("state", {}))["modules"] if is_running(state)]
    if running:
        raise RefusedError(f"modules run: {', '.join(running)}", hint="stop them on all nodes first")
    info = await to_thread.run_sync(renew_key, gateway.settings)
    said = [await _taken(gateway, module) for module in configured(gateway)]
    return replace(info, warnings=(*info.warnings, *(text for text in said if text)))


@router.delete("/cluster")
async def delete_cluster(gateway: GatewayHere) -> None:
    """Forget the cluster; refused while a module is configured."""
    await to_thread.run_sync(remove_cluster, gateway.settings)


def is_running(state: dict[str, Any]) -> bool:
    return bool(state["role"] != Role.STOP)


async def _taken(gateway: Gateway, module: str) -> str:
    """Have a module take the cluster's configuration; why it did not, in words."""
    try:
        await gateway.machine.ask("apply", {"module": module, "update": True}, timeout_s=APPLY_S_MAX)
    except UnavailableError:
        raise
    except RefusedError as error:
        return f"module {module} goes on with the configuration it has until it is stopped and started: {error}"
    except HoldfastError as error:
        return f"module {module} does not fit it: {error}"
    await updated(gateway, module)
    return ""


def configured(gateway: GatewayHere) -> list[str]:
    """Modules that have an applied configuration, which the cluster's is a part of."""
    settings = gateway.settings
    return [name for name in names(settings) if (settings.state_dir / "modules" / name / "active").exists()]
