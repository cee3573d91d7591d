"""What a row of the transition table is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from holdfast.core.state import State, Step, StepKind
from holdfast.events.state import Role


class Phase(StrEnum):
    """The chapter of the story that a row belongs to; one diagram each."""

    START = "starting"
    JOIN = "joining"
    LINK = "the link breaks"
    FAILOVER = "the primary is lost"
    WITNESS = "the witness refuses"
    HANDOVER = "swap"
    MEETING = "meeting again"
    MARK = "the sync mark"
    STOP = "stopping"
    RESOURCE = "resources and restart"


class Trigger(StrEnum):
    """What can happen to a module. Guards look at conditions, not at messages; the trigger is what makes one true."""

    START = "command start"
    STOP = "command stop, stopstart or wait"
    PRIM = "command prim"
    SECOND = "command second"
    RESTART = "command restart"
    SWAP = "command swap"
    FORCESTOP = "command forcestop"
    WAKEUP = "command wakeup"
    STEPS_DONE = "the steps under way are done"
    PEER_PRIMARY = "the peer is heard as primary"
    PEER_HEARD = "the peer is heard, not as primary"
    PEER_LOST = "the peer is lost"
    PEER_LEFT = "the peer leaves its role"
    PEER_BROKE = "the peer says that the session is broken"
    PEER_RENOUNCED = "the peer renounces the session"
    PEER_HANDED_OVER = "the peer hands over"
    PEER_ASKS_SWAP = "the peer asks for a swap"
    PEER_READY = "the peer is a ready secondary"
    PEER_DEGRADED = "the peer's replication has failed"
    SESSION_PROPOSED = "replication proposes a session"
    MARKER_APPLIED = "the session's marker is applied"
    LINK_BROKEN = "the replication link breaks"
    LINK_BACK = "the replication link is back"
    ALL_APPLIED = "all that was received is applied"
    REPLICATION_FAILED = "replication fails"
    WITNESS_GRANTS = "the witness grants"
    WITNESS_REFUSES = "the witness refuses or is not reached"
    RESOURCE_DOWN = "a resource goes down"
    RESOURCE_UP = "a resource comes up"
    MARK_OFFERED = "the primary offers a sync mark"
    MARK_CONFIRMED = "the secondary has recorded the sync mark"
    TIME = "time passes"


class When(StrEnum):
    """How a row treats the steps that are still pending. A running script is always finished first (save forcestop)."""

    IDLE = "idle"
    """Waits until no step is pending and no script runs."""
    CUT = "cut"
    """At once; pending steps are dropped, its own take their place."""
    AFTER = "after"
    """At once; its own steps come after those that are pending."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One transition. trigger: what most often makes the guard true; also: what else may. next: the state that scripts
    are told as next (`to` unless said). action: their third argument (the wish's word when empty). is_told: False for
    bookkeeping, after which a module is still where it is for the reason that it was there before."""

    name: str
    phase: Phase
    roles: frozenset[Role]
    trigger: Trigger
    guard: Callable[[State], bool]
    when: When
    change: Callable[[State], State]
    reason: str
    also: frozenset[Trigger] = frozenset()
    to: Role | None = None
    next: Role | None = None
    action: str = ""
    steps: tuple[Step, ...] = ()
    is_told: bool = True


def also(*triggers: Trigger) -> frozenset[Trigger]:
    return frozenset(triggers)


def script(name: str, *, force: bool = False) -> Step:
    return Step(kind=StepKind.SCRIPT, script=name, force=force)


def twice(name: str) -> tuple[Step, Step]:
    """Once graceful, once with `force`."""
    return (script(name), script(name, force=True))


def wait_for(kind: StepKind) -> Step:
    return Step(kind=kind)
