"""Pure: names of units, and what their states mean.

The words are those of systemd's D-Bus interface, org.freedesktop.systemd1(5): `LoadState`, `ActiveState`, `SubState`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

UNIT_TYPES = frozenset(
    ("service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope")
)
"""systemd.unit(5)."""
RUNNING = frozenset(("active", "reloading", "refreshing"))
STARTING = "activating"
WAITS_TO_START = ("auto-restart", "auto-restart-queued")
"""SubStates of a service that has ended and will be started again (`Restart=`)."""
WITHOUT_PROCESSES = "exited"
"""SubState of a service that is active after its process has ended (`RemainAfterExit=`)."""


def unit_name(name: str) -> str:
    """The whole name of a unit: as systemctl(1) does it, a name without a type is that of a service."""
    return name if name.rpartition(".")[2] in UNIT_TYPES and "." in name else f"{name}.service"


@dataclass(frozen=True, kw_only=True)
class UnitState:
    """What systemd says of a unit. invocation: another one each time that the unit is started; empty when not told."""

    load: str
    active: str
    sub: str
    invocation: bytes = b""

    @property
    def is_running(self) -> bool:
        return self.active in RUNNING

    @property
    def is_starting(self) -> bool:
        """On its way to run for the first time, not because it has ended and is started again."""
        return self.active == STARTING and self.sub not in WAITS_TO_START

    @property
    def has_no_processes(self) -> bool:
        """It runs, and that cannot be seen from any process."""
        return self.is_running and self.sub == WITHOUT_PROCESSES

    @property
    def is_known(self) -> bool:
        """There is a unit of this name."""
        return self.load != "not-found"

    def changed(self, properties: Mapping[str, object]) -> UnitState:
        """The state after a signal with these changed properties; what is not among them stays."""
        words = {
            field: value
            for field, name in (("load", "LoadState"), ("active", "ActiveState"), ("sub", "SubState"))
            if isinstance(value := properties.get(name), str)
        }
        invocation = properties.get("InvocationID")
        return replace(self, **words, invocation=invocation if isinstance(invocation, bytes) else self.invocation)


def has_ended(before: UnitState, now: UnitState) -> bool:
    """Did a unit that was running end in between; true too when it runs again by now."""
    if not before.is_running:
        return False
    is_another = bool(before.invocation and now.invocation) and before.invocation != now.invocation
    return not now.is_running or is_another
