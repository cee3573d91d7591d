"""The narrow door to the kernel's addresses, links and routes; behind it stands pyroute2."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

from holdfast.errors import EnvironmentFaultError
from holdfast.links.model import OWN_PROTOCOL
from holdfast.netlink.changes import LinkChanges
from holdfast.netlink.links import read_interfaces
from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from services.vip.core.model import (
    AddAddress,
    ForgetNeighbour,
    Observed,
    RemoveAddress,
    Route,
    SetRoute,
)

IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200
"""linux/if_addr.h."""
FOREVER = 0xFFFFFFFF
MAIN_TABLE, UNICAST = 254, 1
"""RT_TABLE_MAIN, RTN_UNICAST: linux/rtnetlink.h."""
AF_INET6 = 10
ALREADY_SO = {
    AddAddress: {errno.EEXIST},
    RemoveAddress: {errno.EADDRNOTAVAIL, errno.ENODEV},
    ForgetNeighbour: {errno.ENOENT, errno.ENODEV, errno.EINVAL},
    SetRoute: {errno.EEXIST},
}
"""Answers of the kernel that mean that the operation's aim is reached already."""

KernelOperation = AddAddress | RemoveAddress | SetRoute | ForgetNeighbour


class Kernel(Protocol):
    """What the service needs of the kernel. `apply` raises EnvironmentFaultError with the kernel's reason."""

    async def observe(self, *, with_routes: bool) -> Observed:
        """with_routes: routes may be many and are of interest only where an address is to be a source."""

    async def apply(self, operation: KernelOperation) -> None: ...

    def changes(self) -> AsyncIterator[None]:
        """Yields whenever links or addresses changed; several changes may come as one."""


class NetlinkKernel:
    """The kernel of the network namespace in which it was opened."""

    def __init__(self, route: AsyncIPRoute) -> None:
        self._route = route

    async def observe(self, *, with_routes: bool) -> Observed:
        interfaces = await read_interfaces(self._route)
        routes: list[Route] = []
        if with_routes:
            found = await self._route.get_routes(table=MAIN_TABLE)
            routes = [_route(message) async for message in found if _is_plain(message)]
        return Observed(interfaces=interfaces, routes=tuple(routes))

    async def apply(self, operation: KernelOperation) -> None:
        try:
            match operation:
                case AddAddress():
                    await self._add(operation)
                case RemoveAddress():
                    await self._route.addr(
                        "del",
                        index=operation.interface.index,
                        address=str(operation.address),
                        prefixlen=operation.prefix,
                    )
                case SetRoute():
                    await self._set(operation.route)
                case ForgetNeighbour():
                    await self._route.neigh("del", ifindex=operation.interface.index, dst=str(operation.address))
        except NetlinkError as error:
            if error.code not in ALREADY_SO[type(operation)]:
                raise EnvironmentFaultError(f"{_describe(operation)}: {error}") from error

    async def changes(self) -> AsyncIterator[None]:
        with LinkChanges() as changes:
            while True:
                await changes.wait()
                yield

    async def _add(self, operation: AddAddress) -> None:
        flags = 0
        more: dict[str, int] = {}
        if operation.address.version == 6:
            # Detection of duplicates by the kernel would make the address wait a second; this service asks itself.
            flags = IFA_F_NODAD if operation.with_route else IFA_F_NODAD | IFA_F_NOPREFIXROUTE
            if not operation.is_source:
                # A deprecated address is not chosen as source of outgoing connections (RFC 6724, rule 3).
                more = {"preferred_lft": 0, "valid_lft": FOREVER}
        await self._route.addr(
            "add",
            index=operation.interface.index,
            address=str(operation.address),
            prefixlen=operation.prefix,
            proto=OWN_PROTOCOL,
            flags=flags,
            **more,
        )

    async def _set(self, route: Route) -> None:
        wanted: dict[str, object] = {
            "family": AF_INET6 if route.is_ipv6 else 2,
            "dst": "default" if route.destination is None else str(route.destination),
            "oif": route.interface,
            "proto": route.protocol,
            "scope": route.scope,
            "table": MAIN_TABLE,
        }
        if route.gateway is not None:
            wanted["gateway"] = str(route.gateway)
        if route.source is not None:
            wanted["prefsrc"] = str(route.source)
        if route.priority:
            wanted["priority"] = route.priority
        await self._route.route("replace", **wanted)


def _is_plain(message: Any) -> bool:
    """Whether this is a route that this service may give another source: unicast, through one interface."""
    return bool(
        message["type"] == UNICAST
        and message["tos"] == 0
        and message["family"] in (2, AF_INET6)
        and message.get_attr("RTA_OIF")
        and message.get_attr("RTA_TABLE") == MAIN_TABLE
    )


def _route(message: Any) -> Route:
    destination, gateway, source = (message.get_attr(name) for name in ("RTA_DST", "RTA_GATEWAY", "RTA_PREFSRC"))
    return Route(
        destination=ip_network(f"{destination}/{message['dst_len']}") if destination else None,
        interface=message.get_attr("RTA_OIF"),
        is_ipv6=message["family"] == AF_INET6,
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(source) if source else None,
        priority=message.get_attr("RTA_PRIORITY") or 0,
        protocol=message["proto"],
        scope=message["scope"],
    )


def _describe(operation: KernelOperation) -> str:
    match operation:
        case AddAddress():
            return f"adding {operation.address}/{operation.prefix} to {operation.interface.name}"
        case RemoveAddress():
            return f"removing {operation.address}/{operation.prefix} from {operation.interface.name}"
        case SetRoute():
            return f"setting the source of the route to {operation.route.destination or 'anywhere'}"
        case ForgetNeighbour():
            return f"forgetting the neighbour {operation.address} on {operation.interface.name}"
