"""Resources of a module: present values, one value, assignment, history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from holdfast.errors import NotFoundError
from holdfast.journal.port import ResourceAssigned
from pydantic import BaseModel, Field

from services.gateway import history
from services.gateway.asking import Answer
from services.gateway.files.limits import LINES_MAX, VALUE_CHARS_MAX, WHO_CHARS_MAX
from services.gateway.files.modules import module_place
from services.gateway.parts import GatewayHere, Module, Resource, checked_text

router = APIRouter(tags=["resources"])


class Assignment(BaseModel):
    """value: up, down, or any text. by: who assigns it. log: does the log tell it; else when the value is new."""

    value: str = Field(max_length=VALUE_CHARS_MAX)
    by: str = Field(default="", max_length=WHO_CHARS_MAX)
    log: Literal["", "no", "always"] = ""


@router.get("/modules/{module}/resources")
def get_resources(gateway: GatewayHere, module: Module) -> Sequence[ResourceAssigned]:
    """Present values with the date of their last assignment."""
    return history.resources(gateway.settings, module)


@router.get("/modules/{module}/resources/{resource:path}/history")
def get_history(
    gateway: GatewayHere, module: Module, resource: Resource, limit: Annotated[int, Query(ge=1, le=LINES_MAX)] = 100
) -> Sequence[ResourceAssigned]:
    """Earlier values, newest first."""
    return history.resource_history(gateway.settings, module, resource, limit)


@router.get("/modules/{module}/resources/{resource:path}")
async def get_resource(gateway: GatewayHere, module: Module, resource: Resource) -> Answer:
    """One value, from the state machine itself."""
    module_place(gateway.settings, module)
    answer = await gateway.machine.ask("get", {"module": module, "resource": resource})
    if "value" not in answer:
        raise NotFoundError(f"module '{module}' has no resource '{resource}'")
    return answer


@router.put("/modules/{module}/resources/{resource:path}")
async def set_resource(gateway: GatewayHere, module: Module, resource: Resource, body: Assignment) -> Answer:
    """Assign a value, as a custom checker does."""
    module_place(gateway.settings, module)
    asked = {
        "module": module,
        "resource": resource,
        "value": checked_text("value", body.value, VALUE_CHARS_MAX),
        "by": checked_text("name of who assigns", body.by, WHO_CHARS_MAX),
        "log": body.log,
    }
    return await gateway.machine.ask("set", asked)
