"""The cluster's configuration on this node."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.files.cluster import ClusterInfo, apply_cluster, cluster_info
from services.gateway.files.modules import names
from services.gateway.parts import GatewayHere

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
    """Check and put in force."""
    key = body.key.encode() if body.key else None
    info = apply_cluster(gateway.settings, body.xml.encode(), key=key, node=body.node)
    for module in configured(gateway):
        await gateway.machine.ask("apply", {"module": module})
    return info


def configured(gateway: GatewayHere) -> list[str]:
    """Modules that have an applied configuration, which the cluster's is a part of."""
    settings = gateway.settings
    return [name for name in names(settings) if (settings.state_dir / "modules" / name / "active").exists()]
