"""Names of subjects: general to special, version first; a wire name's dot is a dash here because a dot splits a
subject.
"""

from __future__ import annotations

from holdfast.ids import ClusterId, ModuleId, NodeId

PREFIX = "holdfast.v1"
ANY = "*"


def event(cluster: ClusterId, module: ModuleId | str, node: NodeId | str, name: str) -> str:
    """Subject of a fact; any part may be ANY to subscribe."""
    return f"{PREFIX}.{cluster}.event.{module}.{node}.{_token(name)}"


def order(cluster: ClusterId, module: ModuleId | str, service: str, name: str) -> str:
    """Subject of an order to a service; ANY as service reaches all."""
    return f"{PREFIX}.{cluster}.order.{module}.{service}.{_token(name)}"


def ask(cluster: ClusterId, service: str, verb: str) -> str:
    """Subject of a request that a service answers."""
    return f"{PREFIX}.{cluster}.ask.{service}.{verb}"


def _token(name: str) -> str:
    return name.replace(".", "-")
