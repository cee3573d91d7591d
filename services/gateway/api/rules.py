"""Failover rules of a module with their present results."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from services.gateway.files.modules import module_place
from services.gateway.parts import GatewayHere, Module

router = APIRouter(tags=["rules"])


class RuleNow(BaseModel):
    """One rule. in_force: False for one that is disabled, replaced or left out. seen: what it looks at, with present
    values. acts: now, or what would make it act."""

    label: str
    origin: str
    text: str
    in_force: bool
    result: bool
    seen: list[tuple[str, str]]
    acts: str


class Rules(BaseModel):
    """Every rule, in the order in which they are looked at."""

    module: str
    rules: list[RuleNow]


@router.get("/modules/{module}/rules")
async def get_rules(gateway: GatewayHere, module: Module) -> Rules:
    """Every rule, from the state machine itself."""
    module_place(gateway.settings, module)
    return Rules.model_validate(await gateway.machine.ask("rules", {"module": module}))
