"""What happens to a module when its node starts: the configuration's `boot`, and the choice of the `boot` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.boot import in_words, keep_choice, read_choice
from holdfast.config.model import BootPolicy
from holdfast.config.parse import parse_module
from holdfast.errors import HoldfastError, RefusedError
from holdfast.settings import NodeSettings

from services.gateway.files.modules import module_place, names


@dataclass(frozen=True, kw_only=True)
class BootInfo:
    """policy: `boot` of the configuration in force. chosen: by command, on or off, empty when nobody has. at_start:
    what the next start of the node does: on, off, or auto (starts the module if it was running). delay_s: before it."""

    module: str
    policy: str
    chosen: str
    at_start: str
    delay_s: int


def boot_infos(settings: NodeSettings) -> list[BootInfo]:
    """Every installed module."""
    return [boot_info(settings, name) for name in names(settings)]


def boot_info(settings: NodeSettings, module: str) -> BootInfo:
    """Return what the next start of this node does to a module."""
    place = module_place(settings, module)
    policy, delay_s = _configured(place)
    chosen = read_choice(place)
    return BootInfo(
        module=module,
        policy=policy.value,
        chosen="" if chosen is None else ("on" if chosen else "off"),
        at_start=in_words(policy, chosen),
        delay_s=delay_s,
    )


def choose_boot(settings: NodeSettings, module: str, value: bool) -> BootInfo:
    """Keep the choice of the `boot` command; refused where the configuration decides, since it would change nothing."""
    place = module_place(settings, module)
    policy, _delay_s = _configured(place)
    if policy is not BootPolicy.IGNORE:
        raise RefusedError(
            f'the configuration of module {module} says boot="{policy.value}"',
            hint='boot="ignore" leaves it to the command',
        )
    keep_choice(place, value)
    return boot_info(settings, module)


def _configured(place: Path) -> tuple[BootPolicy, int]:
    """What the configuration in force says; one that is not there or cannot be read says nothing."""
    path = place / "active" / "safeconf.xml"
    try:
        service = parse_module(path.read_bytes(), str(path), {}).service
    except (OSError, HoldfastError):
        return BootPolicy.IGNORE, 0
    return service.boot, service.boot_delay_s
