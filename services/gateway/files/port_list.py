"""The ports that a node and one of its modules use, for who opens firewalls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.config.model import ModuleConfig
from holdfast.config.parse import parse_module
from holdfast.config.ports import farm_port, heart_port, module_number, replication_port
from holdfast.errors import HoldfastError, OperatorError
from holdfast.settings import NodeSettings

from services.gateway.files.modules import described, module_place


@dataclass(frozen=True, kw_only=True)
class PortUse:
    """process: as the model names it. protocol: TCP or UDP."""

    process: str
    protocol: str
    port: int


def ports_of_module(settings: NodeSettings, module: str) -> list[PortUse]:
    """Those of an installed module by its configuration in force, else by the edited one."""
    place = module_place(settings, module)
    return [*ports_of_node(settings), *_module_ports(described(settings, module).id, _configuration(place))]


def ports_of_id(settings: NodeSettings, number: int) -> list[PortUse]:
    """Those that any module with this id could use."""
    return [*ports_of_node(settings), *_module_ports(number, None)]


def ports_of_node(settings: NodeSettings) -> list[PortUse]:
    """Those that every node uses, whatever its modules."""
    return [
        PortUse(process="safeadmin", protocol="TCP", port=settings.lifeline_port),
        PortUse(process="webconsole", protocol="TCP", port=settings.http_port),
    ]


def _module_ports(number: int, config: ModuleConfig | None) -> list[PortUse]:
    try:
        known = module_number(number)
    except ValueError as error:
        raise OperatorError(str(error)) from error
    heart = (config.heart.port if config is not None else None) or heart_port(known)
    uses = [PortUse(process="heart", protocol="UDP", port=heart)]
    if config is None or config.replication is not None:
        uses.append(PortUse(process="rfs", protocol="TCP", port=replication_port(known)))
    if config is None:
        uses.append(PortUse(process="farm", protocol="UDP", port=farm_port(known)))
    return uses


def _configuration(place: Path) -> ModuleConfig | None:
    for path in (place / "active" / "safeconf.xml", place / "conf" / "userconfig.xml"):
        try:
            return parse_module(path.read_bytes(), str(path), {})
        except (OSError, HoldfastError):
            continue
    return None
