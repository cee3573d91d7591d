"""What this node knows of the other one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdfast.events.state import Announcement, Role


class Presence(StrEnum):
    """The heartbeat's verdict as last heard."""

    UNKNOWN = "unknown"
    """Nothing decided yet since this node's services began."""
    HEARD = "heard"
    LOST = "lost"


PRIMARY_ROLES = frozenset({Role.ALONE, Role.PRIM})


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """presence: the verdict. said: its newest announcement, kept when it is lost. why: the verdict in words."""

    presence: Presence = Presence.UNKNOWN
    said: Announcement | None = None
    why: str = ""

    @property
    def is_heard(self) -> bool:
        return self.presence is Presence.HEARD and self.said is not None

    @property
    def is_lost(self) -> bool:
        return self.presence is Presence.LOST

    @property
    def is_primary(self) -> bool:
        """It is heard, and acts as primary."""
        return self.presence is Presence.HEARD and self.said is not None and self.said.role in PRIMARY_ROLES

    def has_left(self) -> bool:
        """It is heard, and acts neither as primary nor as secondary."""
        return self.is_heard and self.said is not None and self.said.role in (Role.STOP, Role.WAIT)
