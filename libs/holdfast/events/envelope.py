"""The envelope around every fact and order on the bus and in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast.ids import ModuleId, NodeId

Payload = TypeVar("Payload", covariant=True)

NODE_SCOPE = ModuleId("_node")
"""Stands where a module's name would, for facts about the whole node."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class HybridTime:
    """Hybrid logical time: wall clock milliseconds and a counter, so that cause always sorts before effect on all
    nodes.
    """

    wall_ms: int
    counter: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope(Generic[Payload]):
    """One event or command with where, when and why.

    id: unique text. cause: id of the event that led to this one, or empty. trace: W3C traceparent, or empty.
    at_wall_ns: this node's wall clock; at_mono_ns: this node's CLOCK_MONOTONIC (never compared between nodes).
    """

    id: str
    module: ModuleId
    node: NodeId
    source: str
    at_wall_ns: int
    at_mono_ns: int
    hybrid: HybridTime
    cause: str
    trace: str
    payload: Payload
