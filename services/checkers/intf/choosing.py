"""Pure: which interface a watch means, and whether it works."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.events.module import InterfaceWatch
from holdfast.links.model import Address, Interface, find, parse

from services.checkers.core import Look


def look(watch: InterfaceWatch, interfaces: Iterable[Interface]) -> Look:
    """Up and with carrier, or proved down: the kernel's word leaves no doubt."""
    interface = interface_of(watch, tuple(interfaces))
    if interface is not None and interface.is_up and interface.has_carrier:
        return Look.PASSED
    return Look.PROVED_DOWN


def interface_of(watch: InterfaceWatch, interfaces: tuple[Interface, ...]) -> Interface | None:
    """By name; else the one that has the address; else the one with the narrowest network that holds it."""
    if watch.interface:
        return next((interface for interface in interfaces if interface.name == watch.interface), None)
    address = parse(watch.address)
    if address is None:
        return None
    holder = next((interface for interface in interfaces if find(interface, address) is not None), None)
    if holder is not None:
        return holder
    placed = [(network_prefix(interface, address), interface) for interface in interfaces]
    prefix, interface = max(placed, key=lambda place: (place[0], place[1].is_up), default=(0, None))
    return interface if prefix else None


def network_prefix(interface: Interface, address: Address) -> int:
    """The longest prefix of the interface's networks that hold the address, 0 for none."""
    networks = (held.on_link.network for held in interface.addresses)
    return max((network.prefixlen for network in networks if address in network), default=0)
