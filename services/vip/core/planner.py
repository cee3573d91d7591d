"""PURE planner: wanted and observed addresses in, an ordered list of operations out.

Carrying out a plan and planning again gives an empty plan. Addresses that are neither wanted nor ours are never
touched: an address is ours when the kernel says so (IFA_PROTO) or when the record of this service does.

Order: what is new is added and announced first, because clients wait for it; then what is not wanted goes: routes get
their former source back before the address disappears (the kernel deletes routes whose source goes, fib_frontend.c),
connections are reset while the address can still send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_interface

from holdfast.links.model import Address, Held, Interface, find

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
    Route,
    SetRoute,
    Wanted,
)

KERNEL_ROUTE = 2
"""RTPROT_KERNEL, linux/rtnetlink.h."""


def plan(
    wanted: Iterable[Wanted],
    observed: Observed,
    *,
    owned: Iterable[Owned] = (),
    former_routes: Iterable[Route] = (),
    reset_connections: bool = True,
) -> Plan:
    """Return what to do. owned and former_routes: the record left by earlier plans, for these addresses only."""
    places, problems = _place_all(tuple(wanted), observed)
    wanted_addresses = {want.address for want, _, _ in places}
    recorded = {(own.interface, own.address) for own in owned}
    operations: list[Operation] = []
    keep: list[Owned] = []
    for want, interface, prefix in places:
        operations += _take(want, interface, prefix)
        held = find(interface, want.address)
        if held is None or held.is_ours or (interface.name, want.address) in recorded:
            length = prefix if held is None else held.on_link.network.prefixlen
            keep.append(Owned(address=want.address, prefix=length, interface=interface.name))
    wanted_routes, new_former = _source_routes(places, observed, tuple(former_routes))
    # A gateway can only be reached once its network's route is there.
    operations += [
        SetRoute(route=route) for route in sorted(wanted_routes, key=lambda route: route.gateway is not None)
    ]
    placed = {(own.interface, own.address) for own in keep}
    leaving = [
        (interface, held)
        for interface in observed.interfaces
        for held in interface.addresses
        if (interface.name, held.on_link.ip) not in placed
        and ((interface.name, held.on_link.ip) in recorded or (held.is_ours and held.on_link.ip in wanted_addresses))
    ]
    taken_over = {route.key for route in wanted_routes}
    stays = replace(observed, routes=tuple(route for route in observed.routes if route.key not in taken_over))
    operations += _let_go(leaving, stays, tuple(former_routes), reset_connections=reset_connections)
    return Plan(operations=tuple(operations), owned=tuple(keep), routes=tuple(new_former), problems=tuple(problems))


def own_leftovers(observed: Observed) -> tuple[Owned, ...]:
    """Everything that the kernel says is ours; for finding what no record and no order claims."""
    return tuple(
        Owned(address=held.on_link.ip, prefix=held.on_link.network.prefixlen, interface=interface.name)
        for interface in observed.interfaces
        for held in interface.addresses
        if held.is_ours
    )


def _place_all(wanted: tuple[Wanted, ...], observed: Observed) -> tuple[list[tuple[Wanted, Interface, int]], list[str]]:
    places: list[tuple[Wanted, Interface, int]] = []
    problems: list[str] = []
    for want in wanted:
        found = _place(want, observed)
        if isinstance(found, str):
            problems.append(found)
        else:
            places.append((want, *found))
    return places, problems


def _place(want: Wanted, observed: Observed) -> tuple[Interface, int] | str:
    """Return interface and prefix for an address, or what is missing."""
    candidates = [each for each in observed.interfaces if want.interface in ("", each.name)]
    if want.interface and not candidates:
        return f"{want.address}: there is no interface {want.interface}"
    best: tuple[Interface, int] | None = None
    for interface in candidates:
        prefix = _network_prefix(interface, want.address)
        if prefix and (best is None or (interface.is_up, prefix) > (best[0].is_up, best[1])):
            best = interface, prefix
    if best is None and want.interface:
        best = candidates[0], want.address.max_prefixlen
    if best is None:
        return f"{want.address}: no interface of this node is in its network"
    if not best[0].is_up:
        return f"{want.address}: interface {best[0].name} is down"
    return best[0], want.prefix or best[1]


def _network_prefix(interface: Interface, address: Address) -> int:
    """Return the longest prefix of the interface's own networks that hold the address, 0 for none."""
    return max(
        (
            held.on_link.network.prefixlen
            for held in interface.addresses
            if not held.is_ours and held.on_link.ip != address and address in held.on_link.network
        ),
        default=0,
    )


def _take(want: Wanted, interface: Interface, prefix: int) -> Iterator[Operation]:
    held = find(interface, want.address)
    if held is not None and held.is_usable:
        return
    if held is not None:
        # A duplicate was detected by the kernel, which never tries again by itself.
        yield RemoveAddress(interface=interface, address=want.address, prefix=held.on_link.network.prefixlen)
    network = ip_interface(f"{want.address}/{prefix}").network
    has_route = any(other.on_link.network == network and not other.is_ours for other in interface.addresses)
    yield AddAddress(
        interface=interface,
        address=want.address,
        prefix=prefix,
        with_route=not has_route and prefix < want.address.max_prefixlen,
        is_source=want.is_source,
    )
    yield Announce(interface=interface, address=want.address)
    yield ForgetNeighbour(interface=interface, address=want.address)


def _source_routes(
    places: list[tuple[Wanted, Interface, int]], observed: Observed, former: tuple[Route, ...]
) -> tuple[list[Route], list[Route]]:
    """Return the routes to set so that they carry wanted sources, and what they were before; the first address wins."""
    changes: list[Route] = []
    remembered: dict[object, Route] = {}
    claimed: set[object] = set()
    for want, interface, _prefix in places:
        if not want.is_source:
            continue
        present = [route for route in observed.routes if _may_carry(route, want, interface)]
        lost = [
            route
            for route in former
            if _may_carry(route, want, interface) and route.key not in {each.key for each in present}
        ]
        for route in [*present, *lost]:
            if route.key in claimed:
                continue
            claimed.add(route.key)
            wanted_route = replace(route, source=want.address)
            if route.source != want.address or route in lost:
                changes.append(wanted_route)
            before = next((each for each in former if each.key == route.key), route)
            if before.source != want.address:
                remembered[route.key] = before
    return changes, list(remembered.values())


def _may_carry(route: Route, want: Wanted, interface: Interface) -> bool:
    """Whether a route should prefer the address: the network it is in, and what is reached through a gateway there."""
    if route.interface != interface.index or route.is_ipv6 != (want.address.version == 6):
        return False
    return route.gateway is not None or (route.destination is not None and want.address in route.destination)


def _let_go(
    leaving: list[tuple[Interface, Held]],
    observed: Observed,
    former: tuple[Route, ...],
    *,
    reset_connections: bool,
) -> Iterator[Operation]:
    gone = {held.on_link.ip for _, held in leaving}
    for route in observed.routes:
        if route.source in gone:
            yield SetRoute(route=_without(route, observed, former, gone))
    if reset_connections:
        for _, held in leaving:
            yield ResetConnections(address=held.on_link.ip)
    for interface, held in leaving:
        yield RemoveAddress(interface=interface, address=held.on_link.ip, prefix=held.on_link.network.prefixlen)


def _without(route: Route, observed: Observed, former: tuple[Route, ...], gone: set[Address]) -> Route:
    """Return the route with the source it had before; without a record, the one the kernel would have chosen."""
    before = next((each for each in former if each.key == route.key and each.source not in gone), None)
    if before is not None:
        return replace(route, source=before.source)
    if route.protocol == KERNEL_ROUTE and route.destination is not None:
        interface = next((each for each in observed.interfaces if each.index == route.interface), None)
        for held in interface.addresses if interface else ():
            if held.on_link.ip not in gone and held.on_link.network == route.destination:
                return replace(route, source=held.on_link.ip)
    return replace(route, source=None)
