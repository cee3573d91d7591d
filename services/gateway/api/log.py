"""A module's log: date, component, level, text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from services.gateway import history
from services.gateway.files.limits import LINES_MAX, TEXT_CHARS_MAX, WHO_CHARS_MAX
from services.gateway.files.modules import module_place
from services.gateway.hub import Item
from services.gateway.parts import Gateway, GatewayHere, Module, checked_text
from services.gateway.wording import Level, Line, line_of

router = APIRouter(tags=["log"])


class LogLine(BaseModel):
    """line: the whole of it as it is shown."""

    wall_ns: int
    component: str
    level: Level
    text: str
    line: str


class Note(BaseModel):
    """A line that a script writes."""

    level: Level
    text: str = Field(max_length=TEXT_CHARS_MAX)
    component: str = Field(default="script", max_length=WHO_CHARS_MAX)


@router.get("/modules/{module}/log")
def get_log(
    gateway: GatewayHere,
    module: Module,
    lines: Annotated[int, Query(ge=1, le=LINES_MAX)] = 300,
    verbose: bool = False,
) -> list[LogLine]:
    """The last lines, oldest first."""
    return [shown(line) for line in history.log_lines(gateway.settings, module, count=lines, verbose=verbose)]


@router.get("/modules/{module}/log/follow")
async def follow_log(gateway: GatewayHere, module: Module, verbose: bool = False) -> StreamingResponse:
    """Lines as they come, one JSON object a line of text, until the reader leaves."""
    module_place(gateway.settings, module)
    return StreamingResponse(_follow(gateway, module, verbose), media_type="application/x-ndjson")


@router.post("/modules/{module}/log")
async def write_log(gateway: GatewayHere, module: Module, body: Note) -> LogLine:
    """What `printi`, `printw` and `printe` do."""
    module_place(gateway.settings, module)
    line = Line(
        wall_ns=gateway.context.clock.wall_ns(),
        component=checked_text("component", body.component, WHO_CHARS_MAX),
        level=body.level,
        text=checked_text("text", body.text, TEXT_CHARS_MAX),
    )
    await to_thread.run_sync(lambda: history.add_note(gateway.settings, module, line))
    await gateway.hub.put(Item(id=f"note-{line.wall_ns}", module=module, line=shown(line).model_dump_json()))
    return shown(line)


def shown(line: Line) -> LogLine:
    return LogLine(wall_ns=line.wall_ns, component=line.component, level=line.level, text=line.text, line=str(line))


async def _follow(gateway: Gateway, module: str, verbose: bool) -> AsyncIterator[str]:
    yield "\n"
    async for item in gateway.hub.follow():
        if item is None or item.module != module:
            continue
        if item.envelope is None:
            yield item.line + "\n"
            continue
        line = line_of(item.envelope)
        if line is not None and (verbose or line.level is not Level.I):
            yield shown(line).model_dump_json() + "\n"
