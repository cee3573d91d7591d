"""Where things are on a node, and who the node is: file, then environment."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from holdfast.errors import ConfigError, OperatorError
from holdfast.ids import ClusterId, ModuleId, NodeId, checked_name

LIFELINE_PORT = 4800
"""TCP port of the supervisor's lifeline; the model product's node membership uses the same number on UDP."""
HTTP_PORT = 9010
SYSLOG = "/dev/log"
"""Where the local syslog daemon listens (syslog(3))."""
HEADER_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,4000}[\x21-\x7e])?")
"""What every HTTP server takes (RFC 9110, 5.5), and no more."""
SETTINGS = frozenset(
    {"node", "cluster", "http_port", "lifeline_port", "otlp_endpoint", "otlp_headers", "syslog", "reboot_command"}
)


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """One node's place in the world. Directories are absolute."""

    node: NodeId
    cluster: ClusterId
    config_dir: Path
    state_dir: Path
    run_dir: Path
    http_port: int = HTTP_PORT
    lifeline_port: int = LIFELINE_PORT
    otlp_endpoint: str = ""
    otlp_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every export; values may be secrets and are never shown."""
    syslog: str = SYSLOG
    """Socket to which the modules' logs are sent as well; empty: nowhere."""
    reboot_command: tuple[str, ...] = ()
    """What reboots this machine (for automatic_reboot); empty: systemctl where systemd runs, else reboot."""

    def module_dir(self, module: ModuleId) -> Path:
        return self.state_dir / "modules" / module

    @property
    def cluster_file(self) -> Path:
        return self.config_dir / "cluster.xml"

    @property
    def key_file(self) -> Path:
        return self.config_dir / "cluster.key"


def load_settings(environment: Mapping[str, str] = os.environ) -> NodeSettings:
    """Read `node.toml` in the configuration directory; raise ConfigError that names the file and the field."""
    config_dir = _directory(environment, "HOLDFAST_CONFIG_DIR", "/etc/holdfast")
    path = config_dir / "node.toml"
    values = _read(path)
    unknown = sorted(set(values) - SETTINGS)
    if unknown:
        raise ConfigError(f"{path}: unknown setting {unknown[0]!r}", hint=f"known are {', '.join(sorted(SETTINGS))}")
    node = environment.get("HOLDFAST_NODE") or _text(path, values, "node", os.uname().nodename.split(".")[0])
    return NodeSettings(
        node=NodeId(_name(path, "node", node)),
        cluster=ClusterId(_name(path, "cluster", _text(path, values, "cluster", "main"))),
        config_dir=config_dir,
        state_dir=_directory(environment, "HOLDFAST_STATE_DIR", "/var/lib/holdfast"),
        run_dir=_directory(environment, "HOLDFAST_RUN_DIR", "/run/holdfast"),
        http_port=_port(path, "http_port", values.get("http_port", HTTP_PORT)),
        lifeline_port=_port(path, "lifeline_port", values.get("lifeline_port", LIFELINE_PORT)),
        otlp_endpoint=environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _text(path, values, "otlp_endpoint", ""),
        syslog=_text(path, values, "syslog", SYSLOG),
        reboot_command=_words(path, "reboot_command", _text(path, values, "reboot_command", "")),
        otlp_headers=_headers(path, values.get("otlp_headers", {}), environment.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
    )


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}", hint='a TOML file with at least: node = "name"') from error


def _directory(environment: Mapping[str, str], variable: str, default: str) -> Path:
    path = Path(environment.get(variable) or default)
    if not path.is_absolute():
        raise ConfigError(f"{variable}={str(path)!r} is not absolute", hint=f"a path such as {default}")
    return path


def _text(path: Path, values: Mapping[str, object], name: str, default: str) -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise ConfigError(f"{path}: {name} = {value!r} is not a text", hint=f'{name} = "…"')
    return value


def _words(path: Path, name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{path}: {name} = {text!r}: {error}", hint=f'{name} = "systemctl reboot"') from error


def _headers(path: Path, value: object, listed: str) -> dict[str, str]:
    """The table of the file, or the list `name=value,…` (values URL-encoded) that OpenTelemetry defines for the
    environment (specification, "OTLP exporter configuration"), whose names win."""
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: otlp_headers is not a table", hint='otlp_headers = { authorization = "Bearer …" }')
    pairs: list[tuple[str, object]] = list(value.items())
    for part in filter(None, map(str.strip, listed.split(","))):
        name, _, text = part.partition("=")
        pairs.append((name.strip(), unquote(text.strip())))
    for name, said in pairs:
        if not HEADER_NAME.fullmatch(name) or not isinstance(said, str) or not HEADER_VALUE.fullmatch(said):
            raise ConfigError(
                f"{path} or OTEL_EXPORTER_OTLP_HEADERS: header {name!r} cannot be sent",
                hint="a name of letters, digits, - and _, and a text without line ends",
            )
    return {name.lower(): str(said) for name, said in pairs}


def _name(path: Path, kind: str, text: str) -> str:
    try:
        return checked_name(kind, text)
    except OperatorError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def _port(path: Path, name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65_535:
        raise ConfigError(f"{path}: {name} = {value!r} is not a port", hint="1 to 65535")
    return value
