"""A private D-Bus daemon, and on it what answers like systemd's manager (org.freedesktop.systemd1(5))."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass
from pathlib import Path

from holdfast.systemd.manager import MANAGER_INTERFACE, MANAGER_NAME, MANAGER_PATH, PROPERTIES, UNIT_INTERFACE
from jeepney import (  # type: ignore[import-untyped]
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.asyncio import DBusConnection, open_dbus_connection  # type: ignore[import-untyped]

CONFIGURATION = """\
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon of its own, at `address`."""

    def __init__(self, place: Path) -> None:
        self.address = f"unix:path={place}/bus"
        self._configuration = place / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(address=self.address))
        self._socket = place / "bus"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = ["dbus-daemon", f"--config-file={self._configuration}", "--nofork", "--nopidfile", "--print-address"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the daemon says its address once it listens"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@dataclass(kw_only=True)
class Unit:
    """A unit as the manager has it. name: its own; alias: another by which it is asked for."""

    name: str
    load: str = "loaded"
    active: str = "active"
    sub: str = "running"
    runs: int = 1
    alias: str = ""

    @property
    def path(self) -> str:
        """As systemd builds it: what is neither letter nor digit as _ and two hexadecimal digits."""
        label = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in self.name)
        return f"{MANAGER_PATH}/unit/{label}"

    @property
    def invocation(self) -> bytes:
        return self.runs.to_bytes(16, "big")


class EmulatedSystemd:
    """Answers what Holdfast asks; with `is_silent` it hears everything and answers nothing."""

    def __init__(self, address: str, *units: Unit) -> None:
        self._address = address
        self.units = {unit.name: unit for unit in units}
        self.is_silent = False
        self.askers: set[str] = set()
        self._connection: DBusConnection | None = None
        self._serving: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Be on the bus under systemd's name."""
        self._connection = await open_dbus_connection(self._address)
        await self._connection.send(message_bus.RequestName(MANAGER_NAME))
        self._serving = asyncio.ensure_future(self._serve(self._connection))

    async def leave(self) -> None:
        assert self._serving is not None
        assert self._connection is not None
        if not self._serving.done():
            self._serving.cancel()
            await asyncio.wait({self._serving})
            await self._connection.close()

    async def change(self, name: str, active: str, sub: str, *, runs: int | None = None) -> None:
        """A unit changes, and whoever wants to know is told as systemd does it: with all properties that change."""
        unit = self.units[name]
        unit.active, unit.sub = active, sub
        unit.runs = unit.runs if runs is None else runs
        await self.tell(unit)

    async def tell(self, unit: Unit, *, only_to: str | None = None) -> None:
        assert self._connection is not None
        changed = {
            "ActiveState": ("s", unit.active),
            "SubState": ("s", unit.sub),
            "InvocationID": ("ay", unit.invocation),
            "StateChangeTimestamp": ("t", 1),
        }
        emitter = DBusAddress(unit.path, interface=PROPERTIES)
        signal = new_signal(emitter, "PropertiesChanged", "sa{sv}as", (UNIT_INTERFACE, changed, []))
        if only_to is not None:
            signal.header.fields[HeaderFields.destination] = only_to
        await self._connection.send(signal)

    async def _serve(self, connection: DBusConnection) -> None:
        while True:
            try:
                message = await connection.receive()
            except (EOFError, OSError):
                await connection.close()
                return
            if message.header.message_type is MessageType.method_call and not self.is_silent:
                self.askers.add(message.header.fields[HeaderFields.sender])
                await connection.send(self._answer(message))

    def _answer(self, message: Message) -> Message:
        fields = message.header.fields
        match fields[HeaderFields.interface], fields[HeaderFields.member], message.body:
            case (str(interface), "Subscribe", _) if interface == MANAGER_INTERFACE:
                return new_method_return(message)
            case (str(interface), "ListUnitsByNames", (list() as names,)) if interface == MANAGER_INTERFACE:
                return new_method_return(message, "a(ssssssouso)", ([self._row(name) for name in names],))
            case (str(interface), "Get", (_, "InvocationID")) if interface == PROPERTIES:
                unit = next(each for each in self.units.values() if each.path == fields[HeaderFields.path])
                return new_method_return(message, "v", (("ay", unit.invocation),))
            case _:
                return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")

    def _row(self, name: str) -> tuple[str, str, str, str, str, str, str, int, str, str]:
        unit = next((each for each in self.units.values() if name in (each.name, each.alias)), None)
        if unit is None:
            unit = self.units[name] = Unit(name=name, load="not-found", active="inactive", sub="dead")
        return (unit.name, "", unit.load, unit.active, unit.sub, "", unit.path, 0, "", "/")
