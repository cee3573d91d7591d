"""Reads interfaces and addresses from the kernel, by pyroute2."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]

from holdfast.links.model import OWN_PROTOCOL, Held, Interface

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFA_F_TENTATIVE, IFA_F_DADFAILED = 0x40, 0x08
"""linux/if.h, linux/if_addr.h."""
ETHERNET = 1
"""ARPHRD_ETHER, linux/if_arp.h."""


async def read_interfaces(route: AsyncIPRoute) -> tuple[Interface, ...]:
    """Return every interface of this network namespace with its addresses."""
    addresses: dict[int, list[Held]] = {}
    async for message in await route.get_addr():
        addresses.setdefault(message["index"], []).append(_held(message))
    return tuple(
        [_interface(message, tuple(addresses.get(message["index"], ()))) async for message in await route.get_links()]
    )


def _held(message: Any) -> Held:
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    return Held(
        on_link=ip_interface(f"{text}/{message['prefixlen']}"),
        is_ours=message.get_attr("IFA_PROTO") == OWN_PROTOCOL,
        is_usable=not flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED),
    )


def _interface(message: Any, addresses: tuple[Held, ...]) -> Interface:
    hardware = message.get_attr("IFLA_ADDRESS") or ""
    return Interface(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        is_up=bool(message["flags"] & IFF_UP),
        has_carrier=bool(message["flags"] & IFF_LOWER_UP),
        hardware=bytes.fromhex(hardware.replace(":", "")) if message["ifi_type"] == ETHERNET else b"",
        addresses=addresses,
    )
