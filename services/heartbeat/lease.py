"""PURE: how long beats may claim what the state machine ordered without a sign of life of the state machine.

Signs of life are its orders and its answers to `ask.statemachine.alive`. A state machine that never answered is not
expected to; then only orders resumed from the last life of this service, which nobody has confirmed since, run out.
"""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.ids import ModuleId

LEASE_NS = 15_000_000_000
"""State machine and bus are restarted within a second; what is away so long cannot be kept alive."""


class Lease:
    """Times are monotonic nanoseconds."""

    def __init__(self, *, modules: Iterable[ModuleId], started_ns: int) -> None:
        """`modules`: those whose orders were resumed."""
        self._signed_ns: dict[ModuleId, int] = dict.fromkeys(modules, started_ns)
        self._confirmed: set[ModuleId] = set()
        self._answered_ns = 0
        self._expired: set[ModuleId] = set()

    def ordered(self, module: ModuleId, at_ns: int) -> None:
        self._signed_ns[module] = at_ns
        self._confirmed.add(module)

    def answered(self, at_ns: int) -> None:
        self._answered_ns = at_ns

    def judge(self, at_ns: int) -> list[tuple[ModuleId, bool]]:
        """Return the modules whose order came into force again (True) or ran out (False) since the last call."""
        changes: list[tuple[ModuleId, bool]] = []
        for module, signed_ns in self._signed_ns.items():
            is_expired = at_ns - self._last_sign_ns(module, signed_ns, at_ns) > LEASE_NS
            if is_expired != (module in self._expired):
                changes.append((module, not is_expired))
                (self._expired.add if is_expired else self._expired.discard)(module)
        return changes

    def _last_sign_ns(self, module: ModuleId, signed_ns: int, at_ns: int) -> int:
        if module not in self._confirmed:
            return signed_ns
        return max(signed_ns, self._answered_ns) if self._answered_ns else at_ns
