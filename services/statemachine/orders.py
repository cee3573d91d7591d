"""Which service gets which order, and which of them have to be sent. Pure."""

from __future__ import annotations

from holdfast.core.decide import Orders
from holdfast.core.state import State
from holdfast.events.catalogue import BY_PAYLOAD, CHECKERS
from holdfast.events.module import WatchResources

Key = tuple[str, str]
"""Service instance and what the order is about: there is one wanted condition per pair."""
HANDLE = "handle"
"""A handler's run stands beside that of a transition."""


def addressed(state: State, orders: Orders) -> dict[Key, object]:
    """Return every order with the service instance that obeys it.

    Replication comes before addresses and the announcement last: a service that is killed between two of them has
    then never told the peer of something that it has not yet told its own services.
    """
    found: dict[Key, object] = {}

    def give(service: str, order: object | None, about: str = "") -> None:
        if order is not None:
            found[service, about or BY_PAYLOAD[type(order)].name] = order

    give(f"rfs@{state.settings.module}", orders.replicate)
    give("vip", orders.addresses)
    give("scripts", orders.forget)
    give("scripts", orders.run)
    give("scripts", orders.handle, HANDLE)
    for checker in CHECKERS:
        give(checker, orders.watch)
    give("heartbeat", orders.announce)
    return found


def checkers_for(watched: WatchResources) -> list[str]:
    """Return the checker services that have something to watch."""
    parts = {
        "checker-process": watched.processes,
        "checker-tcp": watched.tcp,
        "checker-ping": watched.ping,
        "checker-intf": watched.interfaces,
        "checker-ip": watched.addresses,
        "checker-custom": watched.custom,
        "checker-module": watched.modules,
        "checker-splitbrain": watched.witnesses,
    }
    return [service for service in CHECKERS if parts[service]]


def changed(before: dict[Key, object], after: dict[Key, object]) -> dict[Key, object]:
    """Return the orders that differ from those sent last."""
    return {key: order for key, order in after.items() if before.get(key) != order}


def for_service(orders: dict[Key, object], service: str) -> dict[Key, object]:
    """Return the orders of one service instance."""
    return {key: order for key, order in orders.items() if key[0] == service}
