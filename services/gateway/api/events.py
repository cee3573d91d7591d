"""Facts as they happen, as server-sent events that can be resumed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from holdfast.errors import UnavailableError

from services.gateway.hub import READERS_MAX, as_json
from services.gateway.parts import Gateway, GatewayHere

router = APIRouter(tags=["events"])
ModuleQuery = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
LastEventId = Annotated[str, Header(max_length=256)]


@router.get("/events")
async def get_events(
    gateway: GatewayHere, module: ModuleQuery = "", last_event_id: LastEventId = ""
) -> StreamingResponse:
    """Every fact on this node (of one module), from the one after Last-Event-ID on.

    An event named `reset` says that some could not be given: read the state again.
    """
    if gateway.hub.is_full:
        raise UnavailableError(f"{READERS_MAX} readers follow events already")
    return StreamingResponse(_stream(gateway, module, last_event_id), media_type="text/event-stream")


async def _stream(gateway: Gateway, module: str, after: str) -> AsyncIterator[str]:
    yield ": Holdfast\n\n"
    async for item in gateway.hub.follow(after):
        if item is None:
            yield "event: reset\ndata: {}\n\n"
        elif item.envelope is not None and module in ("", item.module):
            fact = as_json(item.envelope)
            yield f"id: {item.id}\nevent: {fact['type']}\ndata: {json.dumps(fact)}\n\n"
