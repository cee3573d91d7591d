"""Commands to a module, its switches, and the comparison of its replicas."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from holdfast.events.codec import payload_to_jsonable
from holdfast.events.module import Action
from holdfast.events.replication import ReplicasVerified
from pydantic import BaseModel, Field

from services.gateway.asking import VERIFY_S_MAX, Answer
from services.gateway.files.limits import WHO_CHARS_MAX
from services.gateway.files.modules import module_place
from services.gateway.parts import Gateway, GatewayHere, Module, checked_text

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
    answer = await gateway.machine.ask("command", asked)
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
    request = f"verify-{uuid.uuid4().hex[:12]}"
    after = gateway.hub.newest
    answer = await gateway.machine.ask("verify", {"module": module, "request": request}, timeout_s=VERIFY_S_MAX)
    if "equal" in answer:
        return Verified.model_validate(answer)
    return await _outcome(gateway, module, str(answer.get("request", request)), after)


async def _outcome(gateway: Gateway, module: str, request: str, after: int) -> Verified:
    """Wait for the fact that answers a request which the state machine has only passed on."""
    while not gateway.hub.closing.is_set():
        for item in gateway.hub.since(after):
            payload = item.envelope.payload if item.envelope else None
            if isinstance(payload, ReplicasVerified) and payload.request == request and item.module == module:
                return Verified.model_validate(payload_to_jsonable(payload))
        after = gateway.hub.newest
        await gateway.hub.changed(1.0)
    return Verified(equal=False, files=0, bytes=0, error="the gateway was stopped before the comparison was complete")
