"""PURE: orders resumed from the last life of this service run out unless the state machine confirms them.

Self-fencing is the supervisor's: a node whose state machine cannot be kept alive is ended after 30 s, and with it the
beats. What is left for this service is a module that was removed while this service was down: nobody repeats its order.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.ids import ModuleId

LEASE_NS = 45_000_000_000
"""A living state machine repeats its orders within a second; without one the supervisor ends the node after 30 s."""


class Lease:
    """Times are monotonic nanoseconds."""

    def __init__(self, *, modules: Iterable[ModuleId], started_ns: int) -> None:
        """`modules`: those whose orders were resumed."""
        self._unconfirmed = set(modules)
        self._ends_ns = started_ns + LEASE_NS

    def ordered(self, module: ModuleId) -> None:
        """The state machine gave an order for this module."""
        self._unconfirmed.discard(module)

    def run_out(self, at_ns: int) -> frozenset[ModuleId]:
        """Return the modules whose resumed orders have run out; each is returned once."""
        if at_ns < self._ends_ns:
            return frozenset()
        gone, self._unconfirmed = frozenset(self._unconfirmed), set()
        return gone
