"""What a node is in a module: the words that operators see, and what one node tells the other about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.ids import NO_SESSION, Epoch, Generation, Session


class Role(StrEnum):
    """The first half of a module's state on a node."""

    STOP = "STOP"
    WAIT = "WAIT"
    ALONE = "ALONE"
    PRIM = "PRIM"
    SECOND = "SECOND"


class Status(StrEnum):
    """The second half: whether the role is in force, on its way, or blocked."""

    READY = "Ready"
    TRANSIENT = "Transient"
    NOT_READY = "NotReady"


class Copy(StrEnum):
    """What a node durably knows of its own copy of the replicated directories."""

    UP_TO_DATE = "uptodate"
    OUTDATED = "outdated"
    RESYNCING = "resyncing"
    UNKNOWN = "unknown"
    """Never decided by an operator: the first start of a replicated module."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """What a node now is in a module, carried in every beat; the only way in which nodes coordinate.

    number grows with each change within an incarnation; seen is the peer's number that this node has taken into
    account (with seen_incarnation), which makes cause and effect between nodes certain.
    lineage: generations of this copy, newest first, bounded. in_step_session: the session in which this node counts
    itself in step, durably. broken_session: the primary asks the secondary to renounce this session.
    renounced_session: the secondary has durably recorded that its copy is outdated as of that session.
    handover_session: the old primary has stopped, drained and durably given the primary role away in this session.
    durable_role: the role in this node's authority record: what it last was where data is concerned.
    request: "" | "swap" (a secondary's operator asks the primary to swap) | "primary" (claims to start as primary).
    sync_mark_ms: the instant (Unix time in ms) before which everything promised is in both copies: what
    a primary in step offers, what a secondary has recorded; otherwise until when either may act by it, 0 for never.
    resources: those that the peer's rules need. trace: traceparent of the transition under way.
    """

    incarnation: int
    number: int
    seen_incarnation: int = 0
    seen: int = 0
    role: Role
    status: Status
    epoch: Epoch
    lineage: tuple[Generation, ...] = ()
    took_over: bool = False
    """True when the newest generation began by promotion of a secondary, False when a primary went on alone."""
    durable_role: Role = Role.STOP
    copy: Copy = Copy.UNKNOWN
    in_step_session: Session = NO_SESSION
    broken_session: Session = NO_SESSION
    renounced_session: Session = NO_SESSION
    handover_session: Session = NO_SESSION
    request: str = ""
    sync_mark_ms: int = 0
    degraded: bool = False
    configuration: str = ""
    resources: dict[str, str] = field(default_factory=dict)
    trace: str = ""
