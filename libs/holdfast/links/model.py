"""PURE: a network interface of this node, and what stands on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

Address = IPv4Address | IPv6Address
AddressOnLink = IPv4Interface | IPv6Interface
"""An address with the length of its network's prefix."""

OWN_PROTOCOL = 72
"""IFA_PROTO of addresses added by Holdfast (linux/if_addr.h: from 4 on free); kernels before 5.18 drop it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """An address observed on an interface. is_ours: the kernel says that it was added by Holdfast."""

    on_link: AddressOnLink
    is_ours: bool = False
    is_usable: bool = True
    """False while an IPv6 address is tentative, or for good when duplicate address detection failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    index: int
    name: str
    is_up: bool
    hardware: bytes
    """Six bytes of an Ethernet address, empty for interfaces without one."""
    addresses: tuple[Held, ...] = ()
    has_carrier: bool = True


def parse(text: str) -> Address | None:
    """Return the address in `text`, or None when it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def find(interface: Interface, address: Address) -> Held | None:
    """The address as it stands on this interface, or None."""
    return next((held for held in interface.addresses if held.on_link.ip == address), None)


def is_present(address: Address, interfaces: Iterable[Interface]) -> bool:
    """Whether this node holds the address in a state in which it can be used."""
    held = (find(interface, address) for interface in interfaces)
    return any(found is not None and found.is_usable for found in held)
