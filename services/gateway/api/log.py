"""A module's log: date, component, level, text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from holdfast.support.sentences import Language
from holdfast.support.wording import Detail, Level, Line, line_of
from pydantic import BaseModel, Field

from services.gateway import history
from services.gateway.files.limits import LINES_MAX, TEXT_CHARS_MAX, WHO_CHARS_MAX
from services.gateway.files.modules import module_place
from services.gateway.hub import Item
from services.gateway.parts import Gateway, GatewayHere, Module, checked_text

SAME_NS_MAX = 1_000_000_000
"""A state is recorded with the time of what caused it and told a moment later: less than this apart, it is one line."""
router = APIRouter(tags=["log"])
Shown = Annotated[Detail, Query(description="events (C, E, W), information (and I), all (and D)")]

Spoken = Annotated[Language, Query(description="of the sentences; reasons and what scripts write stay as they are")]


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
    detail: Shown = Detail.EVENTS,
    language: Spoken = Language.EN,
) -> list[LogLine]:
    """The last lines, oldest first."""
    told = history.log_lines(gateway.settings, module, count=lines, detail=detail, language=language)
    return [shown(line) for line in told]


@router.get("/modules/{module}/log/follow")
async def follow_log(
    gateway: GatewayHere,
    module: Module,
    lines: Annotated[int, Query(ge=0, le=LINES_MAX)] = 0,
    detail: Shown = Detail.EVENTS,
    language: Spoken = Language.EN,
) -> StreamingResponse:
    """The last lines, then those that come, one JSON object a line of text, until the reader leaves."""
    module_place(gateway.settings, module)
    return StreamingResponse(_follow(gateway, module, lines, detail, language), media_type="application/x-ndjson")


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
    await gateway.hub.put(Item(id=f"note-{line.wall_ns}", module=module, line=line))
    return shown(line)


def shown(line: Line) -> LogLine:
    return LogLine(wall_ns=line.wall_ns, component=line.component, level=line.level, text=line.text, line=str(line))


async def _follow(gateway: Gateway, module: str, count: int, detail: Detail, language: Language) -> AsyncIterator[str]:
    """What is heard while the past is read is told after it, once."""
    newest = gateway.hub.newest
    past: list[Line] = []
    if count:
        read = partial(history.log_lines, gateway.settings, module, count=count, detail=detail, language=language)
        past = await to_thread.run_sync(read)
    yield "\n"
    for line in past:
        yield shown(line).model_dump_json() + "\n"
    async for item in gateway.hub.follow(newest, whole=not newest and count > 0):
        if item is None or item.module != module:
            continue
        fresh = line_of(item.envelope, language) if item.envelope is not None else item.line
        if fresh is not None and detail.shows(fresh.level) and not _is_told(fresh, past):
            yield shown(fresh).model_dump_json() + "\n"


def _is_told(line: Line, past: list[Line]) -> bool:
    if past and line.wall_ns > past[-1].wall_ns + SAME_NS_MAX:
        past.clear()
    return any(line.text == told.text and abs(line.wall_ns - told.wall_ns) < SAME_NS_MAX for told in past)
