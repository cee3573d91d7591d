"""The command log of this node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from holdfast.support.command_log import FILE_NAME, CommandEntry, CommandLog

from services.gateway.files.limits import LINES_MAX
from services.gateway.parts import GatewayHere

router = APIRouter(tags=["history"])


@router.get("/commands")
def get_command_log(
    gateway: GatewayHere,
    module: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
    limit: Annotated[int, Query(ge=1, le=LINES_MAX)] = 100,
) -> Sequence[CommandEntry]:
    """Who asked this node for what, when it began and ended, and what became of it, newest first."""
    path = gateway.settings.state_dir / FILE_NAME
    if not path.exists():
        return []
    store = CommandLog(path, read_only=True)
    try:
        return store.read(limit=limit, module=module)
    finally:
        store.close()
