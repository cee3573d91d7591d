"""Where things are on a node, and who the node is: file, then environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.ids import ClusterId, ModuleId, NodeId, checked_name

LIFELINE_PORT = 4800
"""TCP port of the supervisor's lifeline; the model product's node membership uses the same number on UDP."""
HTTP_PORT = 9010


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
    config_dir = Path(environment.get("HOLDFAST_CONFIG_DIR", "/etc/holdfast"))
    path = config_dir / "node.toml"
    values: dict[str, object] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ConfigError(f"{path}: {error}", hint='a TOML file with at least: node = "name"') from error
    unknown = set(values) - {"node", "cluster", "http_port", "lifeline_port", "otlp_endpoint"}
    if unknown:
        raise ConfigError(f"{path}: unknown setting {sorted(unknown)[0]!r}")
    node = environment.get("HOLDFAST_NODE", str(values.get("node", os.uname().nodename.split(".")[0])))
    return NodeSettings(
        node=NodeId(checked_name("node", node)),
        cluster=ClusterId(checked_name("cluster", str(values.get("cluster", "main")))),
        config_dir=config_dir,
        state_dir=Path(environment.get("HOLDFAST_STATE_DIR", "/var/lib/holdfast")),
        run_dir=Path(environment.get("HOLDFAST_RUN_DIR", "/run/holdfast")),
        http_port=_port(path, "http_port", values.get("http_port", HTTP_PORT)),
        lifeline_port=_port(path, "lifeline_port", values.get("lifeline_port", LIFELINE_PORT)),
        otlp_endpoint=environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", str(values.get("otlp_endpoint", ""))),
    )


def _port(path: Path, name: str, value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= 65_535:
        raise ConfigError(f"{path}: {name} = {value!r} is not a port", hint="1 to 65535")
    return value
