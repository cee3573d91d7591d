"""Commands to a module, its switches, and the comparison of its replicas."""

from __future__ import annotations

from fastapi import APIRouter
from holdfast.events.module import Action
from pydantic import BaseModel, Field

from services.gateway.asking import VERIFY_S_MAX, Answer
from services.gateway.files.limits import WHO_CHARS_MAX
from services.gateway.files.modules import module_place
from services.gateway.parts import GatewayHere, Module, checked_text

router = APIRouter(tags=["commands"])


class Command(BaseModel):
    """What is asked. identity: name of the script or checker that asks, which counts against maxloop; else empty."""

    action: Action
    argument: str = Field(default="", max_length=64)
    identity: str = Field(default="", max_length=WHO_CHARS_MAX)
    who: str = Field(default="", max_length=WHO_CHARS_MAX)


class Accepted(BaseModel):
    """The state machine has taken the command; what becomes of it is seen in the state."""

    module: str
    action: Action
    accepted: bool = True
    reason: str = ""


class Setting(BaseModel):
    value: bool
    who: str = Field(default="", max_length=WHO_CHARS_MAX)


class Verified(BaseModel, extra="allow"):
    """Outcome of a comparison of both copies."""

    equal: bool
    files: int
    bytes: int
    error: str = ""


class Estimated(BaseModel, extra="allow"):
    """What a resync would copy at most. kind: difference, compare or full. speed: measured, limited or assumed."""

    kind: str
    files: int
    bytes: int
    names: int
    seconds: float
    bytes_per_second: int
    speed: str
    error: str = ""


@router.post("/modules/{module}/commands")
async def command(gateway: GatewayHere, module: Module, body: Command) -> Accepted:
    """Ask for an action; refused with 409 and the reason."""
    module_place(gateway.settings, module)
    asked = {
        "module": module,
        "action": body.action.value,
        "argument": checked_text("argument", body.argument, 64),
        "identity": checked_text("identity", body.identity, WHO_CHARS_MAX),
        "who": checked_text("name of who asks", body.who, WHO_CHARS_MAX),
    }
    with gateway.context.span(f"command {body.action}", module=module, who=body.who) as trace:
        answer = await gateway.machine.ask("command", {**asked, "trace": trace})
    return Accepted(module=module, action=body.action, reason=str(answer.get("reason", "")))


@router.put("/modules/{module}/settings/{setting}")
async def change_setting(gateway: GatewayHere, module: Module, setting: str, body: Setting) -> Answer:
    """Switch failover, checker or errd on or off."""
    module_place(gateway.settings, module)
    asked = {"module": module, "setting": checked_text("setting", setting, 32), "value": body.value, "who": body.who}
    return await gateway.machine.ask("setting", asked)


@router.post("/modules/{module}/verify")
async def verify(gateway: GatewayHere, module: Module) -> Verified:
    """Compare both copies; answers when the comparison is complete."""
    module_place(gateway.settings, module)
    return Verified.model_validate(await gateway.machine.ask("verify", {"module": module}, timeout_s=VERIFY_S_MAX))


@router.post("/modules/{module}/estimate")
async def estimate(gateway: GatewayHere, module: Module) -> Estimated:
    """Estimate how much a resync would copy; answers when everything concerned has been looked at."""
    module_place(gateway.settings, module)
    return Estimated.model_validate(await gateway.machine.ask("estimate", {"module": module}, timeout_s=VERIFY_S_MAX))
