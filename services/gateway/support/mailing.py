"""Mails about modules: what the operator has said, whether the service runs, what it has sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.errors import ConfigError, HoldfastError, RefusedError
from holdfast.notification.settings import (
    NotificationSettings,
    checked,
    load_credentials,
    load_notification,
    missing,
    save_notification,
)
from holdfast.settings import NodeSettings

from services.gateway.files.durable import write_file

SERVICE = "mail"
WANTED = "services-node.json"
"""Read by the supervisor: services that an operator has switched on."""
MEMORY = "mail.json"
MEMORY_BYTES_MAX = 4 << 20


@dataclass(frozen=True, kw_only=True)
class NotificationStatus:
    """problem: what is wrong with the settings, or why the last mail was not taken. waiting: events that wait for a
    mail. sent: mails so far; sent_wall_ns: when the last one, 0 for never. signs_in: are there credentials."""

    settings: NotificationSettings
    signs_in: bool
    problem: str
    waiting: int
    sent: int
    sent_wall_ns: int


def notification_status(settings: NodeSettings) -> NotificationStatus:
    """Return what is set and what has been sent."""
    problem, wanted, signs_in = "", NotificationSettings(), False
    try:
        wanted = load_notification(settings.config_dir)
        signs_in = bool(load_credentials(settings.config_dir).user)
    except HoldfastError as error:
        problem = str(error)
    told = _memory(settings.state_dir / MEMORY)
    return NotificationStatus(
        settings=wanted,
        signs_in=signs_in,
        problem=problem or str(told.get("problem", "")),
        waiting=_length(told.get("waiting")),
        sent=_number(told.get("sent")),
        sent_wall_ns=_number(told.get("sent_wall_ns")),
    )


def change_notification(settings: NodeSettings, changed: Mapping[str, object]) -> NotificationSettings:
    """Change some settings; raise ConfigError for what is wrong, RefusedError for mails without sender or recipient."""
    before = asdict(load_notification(settings.config_dir))
    fresh = checked({**before, **changed})
    lacking = missing(fresh)
    if fresh.enabled and lacking:
        hint = "holdfast notification configure --from … --to … --host …"
        raise RefusedError(f"mails have no {', '.join(lacking)}", hint=hint)
    save_notification(settings.config_dir, fresh)
    return fresh


def want_service(settings: NodeSettings) -> None:
    """Tell the supervisor whether the mail service is to run. Settings that cannot be read leave it off."""
    try:
        is_on = load_notification(settings.config_dir).enabled
    except ConfigError:
        is_on = False
    body = {"services": [SERVICE] if is_on else []}
    write_file(settings.run_dir / WANTED, json.dumps(body).encode())


def _memory(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as stream:
            body = json.loads(stream.read(MEMORY_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0
