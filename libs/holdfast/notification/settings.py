"""What a node is told about mails: `notification.json`, and `notification.secret` for signing in to the mail server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from holdfast.errors import ConfigError, EnvironmentFaultError
from holdfast.notification.event import DEFAULT_KINDS, Kind

FILE_NAME = "notification.json"
SECRET_NAME = "notification.secret"
SECRET_MODE = 0o600
SETTINGS_MODE = 0o644
FILE_BYTES_MAX = 1 << 16
RECIPIENTS_MAX = 32
DELAY_S_MAX = 24 * 3600
TEXT_CHARS_MAX = 253
"""A host name (RFC 1035, 2.3.4), and far more than an address of mail needs."""
_ADDRESS = re.compile(r"[^@\s<>,;\"\r\n]{1,64}@[A-Za-z0-9.-]{1,189}\Z")
"""local-part@domain in its usual form (RFC 5321, 4.1.2)."""


class Protocol(StrEnum):
    """How the mail server is spoken to; both TLS forms check its certificate."""

    PLAIN = "plain"
    STARTTLS = "starttls"
    SMTPS = "smtps"


DEFAULT_PORTS: Mapping[Protocol, int] = {Protocol.PLAIN: 25, Protocol.STARTTLS: 587, Protocol.SMTPS: 465}
"""RFC 5321, RFC 6409, RFC 8314."""


@dataclass(frozen=True, kw_only=True)
class NotificationSettings:
    """sender, recipients: addresses of mail. delay_s: from the first event to the one mail that tells of all.
    port: 0 for the protocol's own. ca_file: who is trusted to vouch for the server; empty: the system's."""

    enabled: bool = False
    sender: str = ""
    recipients: tuple[str, ...] = ()
    events: tuple[str, ...] = tuple(kind.value for kind in DEFAULT_KINDS)
    delay_s: float = 60.0
    host: str = "localhost"
    port: int = 0
    protocol: Protocol = Protocol.PLAIN
    ca_file: str = ""

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset(Kind(name) for name in self.events)

    @property
    def server_port(self) -> int:
        return self.port or DEFAULT_PORTS[self.protocol]


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Name and password at the mail server; both empty for none."""

    user: str = ""
    password: str = field(default="", repr=False)


def load_notification(config_dir: Path) -> NotificationSettings:
    """Read the file, the defaults where there is none; raise ConfigError with everything that is wrong."""
    path = config_dir / FILE_NAME
    try:
        with path.open("rb") as stream:
            values = json.loads(stream.read(FILE_BYTES_MAX))
    except FileNotFoundError:
        return NotificationSettings()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}", hint="holdfast notification configure writes it") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: not a JSON object", hint="holdfast notification configure writes it")
    return checked(values, str(path))


def checked(values: Mapping[str, object], source: str = FILE_NAME) -> NotificationSettings:
    """Return the settings; raise ConfigError with everything that is wrong."""
    problems = [f"{name}: there is no such setting" for name in sorted(set(values) - set(_CHECKS))]
    taken: dict[str, object] = {}
    for name, check in _CHECKS.items():
        if name not in values:
            continue
        try:
            taken[name] = check(values[name])
        except (ValueError, TypeError) as error:
            problems.append(f"{name} = {values[name]!r}: {error}")
    if problems:
        raise ConfigError(f"{source} is wrong", problems=tuple(problems), hint=", ".join(_CHECKS))
    return replace(NotificationSettings(), **taken)  # type: ignore[arg-type]  # each was checked for its field


def missing(settings: NotificationSettings) -> tuple[str, ...]:
    """What has to be said before a mail can be sent."""
    return tuple(name for name in ("sender", "recipients", "host") if not getattr(settings, name))


def save_notification(config_dir: Path, settings: NotificationSettings) -> None:
    """Write the file, whole or not at all; raise EnvironmentFaultError."""
    _write(config_dir / FILE_NAME, json.dumps(asdict(settings), indent=2) + "\n", SETTINGS_MODE)


def load_credentials(config_dir: Path) -> Credentials:
    """Read the secret; none when there is none. Raises ConfigError for one that cannot be read."""
    path = config_dir / SECRET_NAME
    try:
        with path.open("rb") as stream:
            body = json.loads(stream.read(FILE_BYTES_MAX))
        return Credentials(user=str(body["user"]), password=str(body["password"]))
    except FileNotFoundError:
        return Credentials()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read", hint="holdfast notification credentials writes it") from error


def save_credentials(config_dir: Path, credentials: Credentials) -> None:
    """Write the secret, readable by root alone; without a user remove it."""
    path = config_dir / SECRET_NAME
    if credentials.user:
        _write(path, json.dumps(asdict(credentials)) + "\n", SECRET_MODE)
    else:
        path.unlink(missing_ok=True)


def _write(path: Path, text: str, mode: int) -> None:
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "w") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        raise EnvironmentFaultError(f"{path}: {error.strerror}") from error


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _address(value: object) -> str:
    if not isinstance(value, str) or (value and not _ADDRESS.match(value)):
        raise ValueError("an address of mail, name@domain")
    return value


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > RECIPIENTS_MAX:
        raise ValueError(f"a list of at most {RECIPIENTS_MAX} addresses")
    return tuple(_address(each) for each in value)


def _events(value: object) -> tuple[str, ...]:
    known = ", ".join(kind.value for kind in Kind)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"a list of: {known}")
    unknown = [each for each in value if each not in {kind.value for kind in Kind}]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of: {known}")
    return tuple(dict.fromkeys(value))


def _delay(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= DELAY_S_MAX:
        raise ValueError(f"seconds, 0 to {DELAY_S_MAX}")
    return float(value)


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65_535:
        raise ValueError("1 to 65535, or 0 for the protocol's own")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX or not value.isprintable():
        raise ValueError(f"a text of at most {TEXT_CHARS_MAX} characters")
    return value


_CHECKS = {
    "enabled": _switch,
    "sender": _address,
    "recipients": _addresses,
    "events": _events,
    "delay_s": _delay,
    "host": _text,
    "port": _port,
    "protocol": lambda value: Protocol(_text(value)),
    "ca_file": _text,
}
