"""Carries out plans: observe, plan, record, apply, look again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from holdfast.errors import EnvironmentFaultError
from holdfast.events.module import AddressesReported, HoldAddresses, VirtualAddress
from holdfast.ids import ModuleId
from holdfast.links.model import Address, Interface, is_present, parse

from services.vip.announce import Announcer
from services.vip.core import own_leftovers, plan
from services.vip.core.model import (
    AddAddress,
    Announce,
    ForgetNeighbour,
    Observed,
    Operation,
    Owned,
    Plan,
    RemoveAddress,
    ResetConnections,
    SetRoute,
    Wanted,
)
from services.vip.diag import reset_connections
from services.vip.netlink import Kernel
from services.vip.record import Entry, Record

log = logging.getLogger("holdfast.vip")

NOBODY = ModuleId("_nobody")
"""Stands for the module of addresses that are ours by the kernel's word and that no module claims."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a module's addresses are like after an order was carried out."""

    report: AddressesReported
    operations: tuple[Operation, ...]


class Keeper:
    """Makes the kernel hold what each module's order says; one at a time, so that plans see each other's effects."""

    def __init__(self, kernel: Kernel, record: Record, on_conflict: Callable[[ModuleId], None]) -> None:
        self._kernel = kernel
        self._record = record
        self._on_conflict = on_conflict
        self._orders: dict[ModuleId, HoldAddresses] = {}
        self._announcers: dict[tuple[ModuleId, Address], Announcer] = {}
        self._carriers: dict[str, bool] = {}
        self._lock = asyncio.Lock()

    @property
    def modules(self) -> tuple[ModuleId, ...]:
        """Modules that gave an order in this life."""
        return tuple(self._orders)

    async def obey(self, module: ModuleId, order: HoldAddresses) -> Outcome:
        """Make it so, whatever the present state."""
        self._orders[module] = order
        return await self.repair(module)

    async def repair(self, module: ModuleId) -> Outcome:
        """Compare with the last order and make good what differs."""
        async with self._lock:
            order = self._orders[module]
            wanted, problems = _wanted(order)
            entry = self._record.of(module)
            with_routes = bool(entry.routes) or any(each.primary_address for each in order.addresses)
            observed = await self._kernel.observe(with_routes=with_routes)
            # An address of ours that the order names is this module's, also when the record was lost.
            named = {parse(address.address) for address in order.addresses}
            owned = (*entry.owned, *(own for own in own_leftovers(observed) if own.address in named))
            made = plan(
                wanted,
                observed,
                owned=owned,
                former_routes=entry.routes,
                reset_connections=order.reset_connections,
            )
            trouble = await self._carry_out(module, made, entry)
            if made.operations:
                observed = await self._kernel.observe(with_routes=False)
            self._attend(module, made, observed)
            return Outcome(
                report=self._report(module, order, observed, (*problems, *made.problems, *trouble)),
                operations=made.operations,
            )

    async def let_go_of_all(self) -> None:
        """Hold nothing any more: what orders named, what the record names, and what the kernel says is ours."""
        for module in {*self._orders, *self._record.modules()}:
            last = self._orders.get(module, HoldAddresses(addresses=(), held=False))
            await self.obey(module, HoldAddresses(addresses=last.addresses, held=False))
        await self.let_go_of_unclaimed(())

    async def let_go_of_unclaimed(self, claimed: tuple[ModuleId, ...]) -> None:
        """Remove addresses of ours that belong to none of these modules: left by modules that are gone."""
        async with self._lock:
            observed = await self._kernel.observe(with_routes=True)
            kept = {(own.interface, own.address) for module in claimed for own in self._record.of(module).owned}
            left = tuple(own for own in own_leftovers(observed) if (own.interface, own.address) not in kept)
            entries = [self._record.of(module) for module in self._record.modules() if module not in claimed]
            left += tuple(own for entry in entries for own in entry.owned)
            routes = tuple(route for entry in entries for route in entry.routes)
            made = plan((), observed, owned=left, former_routes=routes)
            if made.operations:
                log.warning("addresses that no module claims are removed: %s", _texts(left))
            await self._carry_out(NOBODY, made, Entry())
            for module in self._record.modules():
                if module not in claimed:
                    self._record.keep(module, Entry())

    def close(self) -> None:
        for announcer in self._announcers.values():
            announcer.close()
        self._announcers.clear()

    async def _carry_out(self, module: ModuleId, made: Plan, before: Entry) -> list[str]:
        """Apply in order; return what failed. What is about to be ours is on record before it is."""
        if made.operations:
            self._record.keep(
                module, Entry(owned=_union(before.owned, made.owned), routes=made.routes or before.routes)
            )
        trouble: list[str] = []
        for operation in made.operations:
            try:
                await self._apply(module, operation)
            except EnvironmentFaultError as error:
                log.error("%s", error)
                trouble.append(str(error))
        if not trouble:
            self._record.keep(module, Entry(owned=made.owned, routes=made.routes))
        held = {own.address for own in made.owned}
        for key in [key for key in self._announcers if key[0] == module and key[1] not in held]:
            self._announcers.pop(key).close()
        return trouble

    async def _apply(self, module: ModuleId, operation: Operation) -> None:
        match operation:
            case AddAddress():
                self._listen(module, operation.interface, operation.address)
                await self._kernel.apply(operation)
                log.info("took %s on %s", operation.address, operation.interface.name)
            case RemoveAddress():
                await self._kernel.apply(operation)
                log.info("let go of %s on %s", operation.address, operation.interface.name)
            case SetRoute() | ForgetNeighbour():
                await self._kernel.apply(operation)
            case ResetConnections():
                count = await asyncio.to_thread(reset_connections, operation.address)
                log.info("reset %d connections of %s", count, operation.address)
            case Announce():
                self._announce(module, operation.address)
            case _:
                assert_never(operation)

    def _listen(self, module: ModuleId, interface: Interface, address: Address) -> None:
        """Open the announcer and ask for another owner; the answer is heard while the address is already taken."""
        old = self._announcers.pop((module, address), None)
        if old is not None:
            old.close()
        if not interface.hardware:
            return
        try:
            made = Announcer(interface, address, lambda: self._on_conflict(module))
        except OSError as error:
            log.error("%s cannot be announced on %s: %s", address, interface.name, error)
            return
        self._announcers[module, address] = made
        made.ask()

    def _attend(self, module: ModuleId, made: Plan, observed: Observed) -> None:
        """Listen and announce for addresses held from a former life, and again where a cable was plugged in."""
        interfaces = {interface.name: interface for interface in observed.interfaces}
        for own in made.owned:
            interface = interfaces.get(own.interface)
            if interface is None:
                continue
            if (module, own.address) not in self._announcers:
                self._listen(module, interface, own.address)
                self._announce(module, own.address)
            elif interface.has_carrier and not self._carriers.get(interface.name, True):
                self._announce(module, own.address)
        self._carriers.update({interface.name: interface.has_carrier for interface in observed.interfaces})

    def _announce(self, module: ModuleId, address: Address) -> None:
        announcer = self._announcers.get((module, address))
        if announcer is not None:
            every_s, for_s = self._repetition(module, address)
            announcer.start(every_s=every_s, for_s=for_s)

    def _repetition(self, module: ModuleId, address: Address) -> tuple[float, float]:
        order = self._orders.get(module)
        for each in order.addresses if order else ():
            if parse(each.address) == address and each.announce_repeatedly:
                return float(each.announce_interval_s), float(each.announce_for_s)
        return 0.0, 0.0

    def _report(
        self, module: ModuleId, order: HoldAddresses, observed: Observed, problems: tuple[str, ...]
    ) -> AddressesReported:
        mine = {own.address for own in self._record.of(module).owned}
        named = [(each.address, parse(each.address)) for each in order.addresses]
        present = tuple(
            text
            for text, address in named
            if address is not None and is_present(address, observed.interfaces) and (order.held or address in mine)
        )
        conflicts = {
            str(announcer.address): announcer.conflict
            for (owner, _), announcer in self._announcers.items()
            if owner == module and announcer.conflict
        }
        said = [f"{address} is also claimed by {other}" for address, other in sorted(conflicts.items())]
        return AddressesReported(
            held=order.held and len(present) == len(named),
            present=present,
            conflicts=tuple(sorted(conflicts)),
            problem="; ".join([*problems, *said]),
        )


def _wanted(order: HoldAddresses) -> tuple[tuple[Wanted, ...], tuple[str, ...]]:
    if not order.held:
        return (), ()
    wanted = [_want(each) for each in order.addresses]
    problems = [
        f"{each.address!r} is not an address" for each, want in zip(order.addresses, wanted, strict=True) if not want
    ]
    return tuple(want for want in wanted if want is not None), tuple(problems)


def _want(each: VirtualAddress) -> Wanted | None:
    address = parse(each.address)
    if address is None:
        return None
    prefix = each.prefix if 0 <= each.prefix <= address.max_prefixlen else 0
    return Wanted(address=address, prefix=prefix, interface=each.interface, is_source=each.primary_address)


def _union(first: tuple[Owned, ...], second: tuple[Owned, ...]) -> tuple[Owned, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _texts(owned: tuple[Owned, ...]) -> str:
    return ", ".join(sorted({str(own.address) for own in owned}))
