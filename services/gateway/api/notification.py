"""Mails about modules: settings, switch, test."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from anyio import to_thread
from fastapi import APIRouter
from holdfast.errors import RefusedError
from holdfast.notification.message import trial
from holdfast.notification.sending import send
from holdfast.notification.settings import (
    Credentials,
    load_credentials,
    load_notification,
    missing,
    save_credentials,
)
from pydantic import BaseModel, Field

from services.gateway.parts import GatewayHere
from services.gateway.support.mailing import (
    NotificationStatus,
    change_notification,
    notification_status,
    want_service,
)

ID_BYTES = 12
SECRET_CHARS_MAX = 256
router = APIRouter(tags=["notification"])


class NotificationChange(BaseModel, extra="forbid"):
    """Settings to change; those left out stay."""

    enabled: bool | None = None
    sender: str | None = None
    recipients: list[str] | None = None
    events: list[str] | None = None
    delay_s: float | None = None
    host: str | None = None
    port: int | None = None
    protocol: str | None = None
    ca_file: str | None = None


class SignIn(BaseModel):
    """Empty user: none any more."""

    user: str = Field(default="", max_length=SECRET_CHARS_MAX)
    password: str = Field(default="", max_length=SECRET_CHARS_MAX)


class Tested(BaseModel):
    sender: str
    recipients: tuple[str, ...]


@router.get("/notification")
def get_notification(gateway: GatewayHere) -> NotificationStatus:
    """What is set, and what has been sent."""
    return notification_status(gateway.settings)


@router.put("/notification")
async def put_notification(gateway: GatewayHere, body: NotificationChange) -> NotificationStatus:
    """Change settings, switch mails on or off; the mail service starts or ends with that."""
    changed = body.model_dump(exclude_none=True)
    await to_thread.run_sync(lambda: change_notification(gateway.settings, changed))
    want_service(gateway.settings)
    return notification_status(gateway.settings)


@router.put("/notification/credentials")
def put_credentials(gateway: GatewayHere, body: SignIn) -> NotificationStatus:
    """Name and password at the mail server."""
    save_credentials(gateway.settings.config_dir, Credentials(user=body.user, password=body.password))
    return notification_status(gateway.settings)


@router.post("/notification/test")
async def send_test(gateway: GatewayHere) -> Tested:
    """Send a mail at once, whether mails are switched on or not; answers when the server has taken it."""
    settings = load_notification(gateway.settings.config_dir)
    lacking = missing(settings)
    if lacking:
        raise RefusedError(f"mails have no {', '.join(lacking)}", hint="holdfast notification configure")
    number = secrets.token_hex(ID_BYTES)
    mail = trial(settings, gateway.settings.node, now=datetime.now(UTC), number=number)
    await send(settings, load_credentials(gateway.settings.config_dir), mail)
    return Tested(sender=settings.sender, recipients=settings.recipients)
