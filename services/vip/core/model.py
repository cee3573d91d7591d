"""PURE: what is wanted, what is observed, and the operations between them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from holdfast.links.model import Address, Interface

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One address to hold. prefix 0: that of the interface's network, or the whole address where there is none.

    interface empty: the one whose network holds the address. is_source: outgoing connections of the interface's
    network and of the routes through it carry this address.
    """

    address: Address
    prefix: int = 0
    interface: str = ""
    is_source: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Owned:
    """What this service has put (or is about to put) onto an interface."""

    address: Address
    prefix: int
    interface: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A unicast route of the main table. destination None is the default route; source None: the kernel chooses."""

    destination: Network | None
    interface: int
    is_ipv6: bool
    gateway: Address | None = None
    source: Address | None = None
    priority: int = 0
    protocol: int = 0
    scope: int = 0

    @property
    def key(self) -> tuple[Network | None, int, bool, int]:
        """What makes it the same route, whatever source it prefers."""
        return self.destination, self.interface, self.is_ipv6, self.priority


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AddAddress:
    interface: Interface
    address: Address
    prefix: int
    with_route: bool
    """Whether the kernel should add a route to the address's network; not when the interface has one already.

    For IPv6 only: IPv4 makes further addresses of a network secondary and adds no route for them."""
    is_source: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveAddress:
    interface: Interface
    address: Address
    prefix: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetRoute:
    """Add the route, or replace the one with the same key: gives it its source."""

    route: Route


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetConnections:
    """End the TCP connections of an address, so that clients connect again at once instead of waiting."""

    address: Address


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetNeighbour:
    """Drop what the kernel remembers of an address's former owner."""

    interface: Interface
    address: Address


@dataclass(frozen=True, kw_only=True, slots=True)
class Announce:
    """Tell the network where the address now is, and watch for another owner."""

    interface: Interface
    address: Address


Operation = AddAddress | RemoveAddress | SetRoute | ResetConnections | ForgetNeighbour | Announce


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """operations: in this order. owned: what is ours once they are done. routes: former routes, to be restored later.

    problems: what keeps a wanted address from being held, in words.
    """

    operations: tuple[Operation, ...] = ()
    owned: tuple[Owned, ...] = ()
    routes: tuple[Route, ...] = ()
    problems: tuple[str, ...] = ()
