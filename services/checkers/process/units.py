"""Follows units of systemd: their states come by signals as they change, and are asked for now and then besides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from holdfast.errors import UnavailableError
from holdfast.systemd import manager
from holdfast.systemd.bus import BUS_NAME, BusConnection, BusRefusedError, Signal
from holdfast.systemd.unit import UnitState, has_ended

BEAT_S = 2.0
"""One unit is asked for in each: systemd that hangs is noticed within this and the limit of an answer."""
RETRY_S = 2.0
"""Until the bus is tried again."""
READS_MAX = 4
"""Of a unit whose state changes while it is read; then what was read counts until the next beat."""

log = logging.getLogger("holdfast.checkers")


@dataclass(eq=False, kw_only=True)
class Followed:
    """A unit as systemd tells of it. state: None while systemd does not answer. last: what it said last.

    news: set when anything here changes. has_ended: it was running and ended since that was last looked at.
    """

    name: str
    news: asyncio.Event
    state: UnitState | None = None
    last: UnitState | None = None
    has_ended: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is known whether systemd answers."""
    path: str = ""
    is_due: bool = True
    signals: int = 0

    def tell(self, state: UnitState | None) -> None:
        """Take what systemd says now; None when it says nothing."""
        if state is not None and self.last is not None and has_ended(self.last, state):
            self.has_ended = True
        if state is not None:
            if not state.is_known and (self.last is None or self.last.is_known):
                log.warning("systemd knows no unit %s", self.name)
            self.last = state
        if state != self.state:
            self.news.set()
        self.state = state
        self.asked.set()

    def take_end(self) -> bool:
        """Did it end since the last call."""
        ended, self.has_ended = self.has_ended, False
        return ended


class Units:
    """The units that are followed, over one connection to the bus, which is there only while any is."""

    def __init__(self, address: str = manager.SYSTEM_BUS) -> None:
        self._address = address
        self._followed: list[Followed] = []
        self._due = asyncio.Event()
        self._owner = ""
        self._owner_changes = 0
        self._answered: bool | None = None
        self.received = 0
        """Messages that the present connection has brought."""

    @contextmanager
    def follow(self, name: str, news: asyncio.Event) -> Iterator[Followed]:
        """Follow a unit, by its whole name, until the end of the context."""
        unit = Followed(name=name, news=news)
        self._followed.append(unit)
        self._due.set()
        if self._answered is False:
            unit.asked.set()
        try:
            yield unit
        finally:
            self._followed.remove(unit)
            self._due.set()

    async def run(self) -> None:
        """Keep the connection while a unit is followed; for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            if not self._followed:
                continue
            try:
                await self._connected()
            except (UnavailableError, BusRefusedError) as error:
                self._lose(str(error))
                await asyncio.sleep(RETRY_S)
            self._due.set()

    async def _connected(self) -> None:
        """Follow over one connection until nothing is followed any more; raises when the connection is lost."""
        bus = await BusConnection.open(self._address, self._hear)
        rules: set[str] = set()
        try:
            await _match(bus, rules, manager.owner_rule())
            subscribed = ""
            while self._followed:
                if not self._owner:
                    await self._ask_owner(bus)
                if self._owner and subscribed != self._owner:
                    subscribed = self._owner
                    await _match(bus, rules, manager.manager_rule())
                    await manager.ask_manager(bus, "Subscribe")
                    self._all_due()
                if self._owner:
                    await self._read_due(bus, rules)
                else:
                    self._lose("systemd is not on the bus")
                self.received = bus.received
                await self._until_due(bus)
        finally:
            self._owner = ""
            await bus.close()

    async def _ask_owner(self, bus: BusConnection) -> None:
        """Who is systemd. A change that is told while the answer is on its way is newer than the answer."""
        changes = self._owner_changes
        owner = await manager.manager_owner(bus)
        if changes == self._owner_changes:
            self._owner = owner

    async def _until_due(self, bus: BusConnection) -> None:
        """Until something is to be asked; the next unit is after a beat."""
        waiting = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait({waiting, bus.ended}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if bus.ended.done():
            raise UnavailableError(f"the D-Bus connection is lost: {bus.ended.result()}")
        if not self._due.is_set() and self._followed:
            self._followed.append(self._followed.pop(0))
            self._followed[0].is_due = True
        self._due.clear()

    async def _read_due(self, bus: BusConnection, rules: set[str]) -> None:
        owner = self._owner
        for unit in [each for each in self._followed if each.is_due]:
            unit.is_due = False
            try:
                await _read(bus, rules, unit)
            except BusRefusedError as error:
                if owner != self._owner:
                    return
                log.error("systemd does not tell of %s, which is watched by its control group: %s", unit.name, error)
                unit.tell(None)
            else:
                self._say_whether_it_answers(None)

    def _hear(self, signal: Signal) -> None:
        match signal:
            case Signal(sender=sender, member="NameOwnerChanged", body=(str(), str(), str() as owner)):
                if sender == BUS_NAME:
                    self._owner = owner
                    self._owner_changes += 1
                    self._due.set()
            case Signal(sender=sender) if not sender or sender != self._owner:
                # Anybody may send a signal to one connection; only systemd is believed.
                return
            case Signal(interface=manager.PROPERTIES, body=(manager.UNIT_INTERFACE, dict() as properties, _)):
                self._change(signal.path, {name: value[1] for name, value in properties.items()})
            case Signal(interface=manager.MANAGER_INTERFACE, member="Reloading", body=(False,)):
                self._all_due()
            case Signal(interface=manager.MANAGER_INTERFACE, member="UnitNew" | "UnitRemoved", body=(_, path)):
                for unit in self._followed:
                    unit.is_due = unit.is_due or unit.path == path
                self._due.set()
            case _:
                pass

    def _change(self, path: str, properties: Mapping[str, object]) -> None:
        for unit in self._followed:
            if unit.path == path:
                unit.signals += 1
                if unit.state is not None:
                    unit.tell(unit.state.changed(properties))

    def _all_due(self) -> None:
        for unit in self._followed:
            unit.is_due = True
        self._due.set()

    def _lose(self, why: str) -> None:
        for unit in self._followed:
            unit.tell(None)
        self._say_whether_it_answers(why)

    def _say_whether_it_answers(self, trouble: str | None) -> None:
        answers = trouble is None
        if answers is not self._answered:
            self._answered = answers
            if answers:
                log.info("systemd answers: its units are watched by their states")
            else:
                log.warning("systemd cannot be asked, its units are watched by their control groups: %s", trouble)


async def _match(bus: BusConnection, rules: set[str], rule: str) -> None:
    """Let the daemon send what fits the rule, once."""
    if rule not in rules:
        await bus.ask_bus("AddMatch", "s", rule)
        rules.add(rule)


async def _read(bus: BusConnection, rules: set[str], unit: Followed) -> None:
    """Ask for a unit's state, after its signals are ordered: so no change is missed in between."""
    for attempt in range(READS_MAX):
        signals = unit.signals
        listed = await manager.list_unit(bus, unit.name)
        if listed.path and not rules.issuperset(manager.unit_rules(listed)):
            for rule in manager.unit_rules(listed):
                await _match(bus, rules, rule)
            listed = await manager.list_unit(bus, unit.name)
        unit.path = listed.path
        invocation = await manager.invocation_of(bus, listed.path) if listed.path else b""
        unit.is_due = unit.signals != signals
        if not unit.is_due or attempt == READS_MAX - 1:
            unit.tell(replace(listed.state, invocation=invocation))
            return
