"""Every pair of role and trigger: decided by a row, decided by a command, or without effect for a stated reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.core.commands import COMMANDS
from holdfast.core.row import Trigger
from holdfast.core.transitions import ROWS
from holdfast.events.module import Action
from holdfast.events.state import Role

STOP, WAIT, ALONE, PRIM, SECOND = Role.STOP, Role.WAIT, Role.ALONE, Role.PRIM, Role.SECOND

ACTION_TRIGGERS: dict[Action, Trigger] = {
    Action.START: Trigger.START,
    Action.STOP: Trigger.STOP,
    Action.STOPSTART: Trigger.STOP,
    Action.WAIT: Trigger.STOP,
    Action.PRIM: Trigger.PRIM,
    Action.SECOND: Trigger.SECOND,
    Action.RESTART: Trigger.RESTART,
    Action.SWAP: Trigger.SWAP,
    Action.FORCESTOP: Trigger.FORCESTOP,
    Action.WAKEUP: Trigger.WAKEUP,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmoved:
    """In these roles this trigger changes nothing by itself, and why."""

    trigger: Trigger
    roles: frozenset[Role]
    reason: str


def _unmoved(trigger: Trigger, roles: Iterable[Role], reason: str) -> Unmoved:
    return Unmoved(trigger=trigger, roles=frozenset(roles), reason=reason)


UNMOVED: tuple[Unmoved, ...] = (
    _unmoved(Trigger.STEPS_DONE, {STOP}, "impossible: a stopped module has no steps"),
    _unmoved(Trigger.PEER_LOST, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.PEER_LEFT, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.PEER_BROKE, {ALONE, PRIM}, "a primary has nothing to renounce; two primaries meet (step down)"),
    _unmoved(Trigger.PEER_RENOUNCED, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.PEER_RENOUNCED, {SECOND}, "impossible: only a secondary renounces, and this node is it"),
    _unmoved(Trigger.PEER_HANDED_OVER, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.PEER_HANDED_OVER, {ALONE, PRIM}, "impossible: only a primary in step with this node hands over"),
    _unmoved(Trigger.PEER_ASKS_SWAP, {STOP, WAIT, ALONE}, "impossible: only a secondary in step asks"),
    _unmoved(Trigger.PEER_ASKS_SWAP, {SECOND}, "the primary that hands over for a swap says so; it is taken over from"),
    _unmoved(Trigger.PEER_READY, {STOP, WAIT, ALONE, SECOND}, "impossible: a ready secondary has a primary in step"),
    _unmoved(Trigger.PEER_DEGRADED, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.PEER_DEGRADED, {WAIT}, "keeps waiting: there is nothing to resynchronise from (degraded_server)"),
    _unmoved(Trigger.PEER_DEGRADED, {ALONE, PRIM}, "two primaries meet as any others (step down)"),
    _unmoved(Trigger.SESSION_PROPOSED, {STOP, WAIT, SECOND}, "impossible: only a primary's replication proposes"),
    _unmoved(Trigger.SESSION_PROPOSED, {PRIM}, "impossible: in step there is nothing to propose"),
    _unmoved(Trigger.MARKER_APPLIED, {STOP, WAIT, ALONE, PRIM}, "impossible: only a secondary applies the stream"),
    _unmoved(Trigger.LINK_BROKEN, {STOP, WAIT}, "replication is off"),
    _unmoved(Trigger.LINK_BROKEN, {ALONE}, "promises need no peer"),
    _unmoved(Trigger.LINK_BROKEN, {SECOND}, "replication dials again; the primary decides what follows"),
    _unmoved(Trigger.LINK_BACK, {STOP, WAIT}, "replication is off"),
    _unmoved(Trigger.LINK_BACK, {ALONE, SECOND}, "replication resynchronises by itself and then proposes a session"),
    _unmoved(Trigger.ALL_APPLIED, {STOP, WAIT, ALONE, PRIM}, "impossible: only a secondary that takes over applies"),
    _unmoved(Trigger.REPLICATION_FAILED, {STOP, WAIT}, "replication is off"),
    _unmoved(Trigger.REPLICATION_FAILED, {ALONE}, "the application goes on, and beats say degraded"),
    _unmoved(Trigger.WITNESS_GRANTS, {STOP, ALONE}, "nothing was asked"),
    _unmoved(Trigger.WITNESS_REFUSES, {STOP, ALONE}, "nothing was asked"),
    _unmoved(Trigger.WITNESS_REFUSES, {WAIT}, "keeps waiting, and goes on asking (splitbrain_failure)"),
    _unmoved(Trigger.RESOURCE_DOWN, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.RESOURCE_UP, {STOP}, "a stopped module does nothing until it is started"),
    _unmoved(Trigger.RESOURCE_UP, {ALONE, PRIM, SECOND}, "nothing waits for it"),
    _unmoved(
        Trigger.MARK_OFFERED, {STOP, WAIT, ALONE, PRIM}, "only a secondary in step has what was promised before it"
    ),
    _unmoved(Trigger.MARK_CONFIRMED, {STOP, WAIT, ALONE, SECOND}, "only a primary in step has offered one"),
    _unmoved(Trigger.TIME, {STOP}, "nothing waits for time, save the limits of steps"),
)


def decided() -> set[tuple[Role, Trigger]]:
    """Pairs that a row or a command decides."""
    pairs = {(role, trigger) for row in ROWS for role in row.roles for trigger in {row.trigger} | row.also}
    for command in COMMANDS:
        trigger = ACTION_TRIGGERS.get(command.action)
        if trigger is not None:
            pairs |= {(role, trigger) for role in command.roles}
    return pairs


def unmoved() -> dict[tuple[Role, Trigger], str]:
    """Pairs without effect, with the reason."""
    return {(role, entry.trigger): entry.reason for entry in UNMOVED for role in entry.roles}


def undecided() -> list[tuple[Role, Trigger]]:
    """Pairs that nobody has thought of; has to be empty."""
    known = decided() | unmoved().keys()
    return [(role, trigger) for role in Role for trigger in Trigger if (role, trigger) not in known]
