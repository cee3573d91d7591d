"""What is asked of systemd's manager, the first process of the machine (org.freedesktop.systemd1(5); 230 or later)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.errors import UnavailableError
from holdfast.systemd.bus import ANSWER_S_MAX, BUS_NAME, BusConnection, BusRefusedError
from holdfast.systemd.unit import UnitState, unit_name

SYSTEM_BUS = "SYSTEM"
"""The bus of the machine: where DBUS_SYSTEM_BUS_ADDRESS says, or at its usual place."""
MANAGER_NAME = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER_INTERFACE = "org.freedesktop.systemd1.Manager"
UNIT_INTERFACE = "org.freedesktop.systemd1.Unit"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_OWNER = ("org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.ServiceUnknown")
_PLACE_FIELD = 6
"""Of the structure of ListUnitsByNames: name, description, load, active, sub, followed unit, object path, job…"""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A unit as the manager lists it. name: its own, where it was asked for by another; path: where its signals come
    from, empty when there can be no unit of the name that was asked for."""

    name: str
    path: str
    state: UnitState


async def manager_owner(bus: BusConnection) -> str:
    """The connection that is systemd; empty when there is none on this bus."""
    try:
        owner = (await bus.ask_bus("GetNameOwner", "s", MANAGER_NAME))[0]
    except BusRefusedError as error:
        if error.name in NO_OWNER:
            return ""
        raise
    return str(owner)


async def ask_manager(bus: BusConnection, member: str, signature: str = "", *arguments: object) -> tuple[object, ...]:
    return await bus.call(MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE, member, signature, *arguments)


async def list_unit(bus: BusConnection, name: str) -> Listed:
    """A unit by its whole name; systemd reads its file when it has not yet.

    Raises BusRefusedError when it may not be asked, UnavailableError when it does not answer.
    """
    (rows,) = await ask_manager(bus, "ListUnitsByNames", "as", [name])
    if not isinstance(rows, list):
        raise UnavailableError(f"systemd's answer about {name} cannot be read", hint="systemd 230 or later")
    if not rows:
        # Names that no unit can have are left out.
        return Listed(name=name, path="", state=UnitState(load="not-found", active="inactive", sub="dead"))
    own, _, load, active, sub, *_ = (str(field) for field in rows[0])
    return Listed(name=own, path=str(rows[0][_PLACE_FIELD]), state=UnitState(load=load, active=active, sub=sub))


async def invocation_of(bus: BusConnection, path: str) -> bytes:
    """Which run of the unit this is; empty for one that never ran."""
    answer = await bus.call(MANAGER_NAME, path, PROPERTIES, "Get", "ss", UNIT_INTERFACE, "InvocationID")
    match answer:
        case ((_, bytes() as invocation),):
            return invocation
        case _:
            return b""


async def unknown_units(names: Iterable[str], address: str = SYSTEM_BUS) -> frozenset[str]:
    """Which of these the running systemd has no unit of; none when no systemd can be asked in time."""
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            bus = await BusConnection.open(address, lambda _signal: None)
            try:
                if not await manager_owner(bus):
                    return frozenset()
                listed = {name: await list_unit(bus, unit_name(name)) for name in names}
            finally:
                await bus.close()
    except (UnavailableError, BusRefusedError, TimeoutError):
        return frozenset()
    return frozenset(name for name, unit in listed.items() if not unit.state.is_known)


def owner_rule() -> str:
    """Match rule: the manager comes or goes."""
    return f"type='signal',sender='{BUS_NAME}',interface='{BUS_NAME}',member='NameOwnerChanged',arg0='{MANAGER_NAME}'"


def manager_rule() -> str:
    """Match rule: the manager has read its files again."""
    return f"type='signal',sender='{MANAGER_NAME}',interface='{MANAGER_INTERFACE}',member='Reloading'"


def unit_rules(unit: Listed) -> tuple[str, str]:
    """Match rules: a unit changes; it is loaded or forgotten by the manager."""
    from_manager = f"type='signal',sender='{MANAGER_NAME}'"
    return (
        f"{from_manager},path='{unit.path}',interface='{PROPERTIES}',member='PropertiesChanged'",
        f"{from_manager},interface='{MANAGER_INTERFACE}',arg0='{unit.name}'",
    )
