"""What must always be true of one state, and of the two nodes' states together. Pure; used by every simulation."""

from __future__ import annotations

from holdfast.core import explain
from holdfast.core.state import Data, State
from holdfast.events.state import Copy, Role, Status
from holdfast.ids import NO_SESSION

ACTING = frozenset({Data.ALONE, Data.IN_STEP, Data.DRAIN})

GROUPS: dict[Role, frozenset[str]] = {
    Role.ALONE: frozenset({"both", "prim", "sec"}),
    Role.PRIM: frozenset({"both", "prim"}),
    Role.SECOND: frozenset({"both", "second", "sec"}),
}
"""Script groups that have been started in a ready role; STOP and WAIT are never ready."""


def broken_by(state: State) -> tuple[str, ...]:
    """The rules that this state breaks, in words; none when all is well."""
    record = state.authority
    found: list[str] = []
    if state.is_primary and record.copy is not Copy.UP_TO_DATE and state.is_replicated:
        found.append(f"acts as {state.role} on a copy that is {record.copy}")
    if state.role is Role.PRIM and record.in_step_session == NO_SESSION:
        found.append("is PRIM without a session in its record")
    if state.role is Role.ALONE and record.in_step_session != NO_SESSION:
        found.append("is ALONE while its record says that promises need the peer")
    if state.data is Data.ALONE and record.role is not Role.ALONE:
        found.append("replication may promise alone, but the record does not say so")
    if state.data is Data.IN_STEP and state.role is not Role.PRIM:
        found.append(f"replication promises in step while the role is {state.role}")
    if state.role is Role.STOP and state.status is Status.NOT_READY and (state.addresses_wanted or state.groups):
        found.append("is stopped, and still holds addresses or runs scripts' services")
    if state.role in (Role.STOP, Role.SECOND) and state.addresses_wanted:
        found.append(f"wants addresses as {state.role}")
    if record.copy is Copy.RESYNCING and record.in_step_session != NO_SESSION:
        found.append("counts itself in step while resyncing")
    if record.synced_ms > record.offered_ms:
        found.append("counts on a younger sync mark than it allows the other node")
    if record.copy is Copy.RESYNCING and record.synced_ms:
        found.append("has a sync mark for a copy that is being overwritten")
    if state.status is Status.READY and state.groups != GROUPS[state.role]:
        found.append(f"is {state.role} Ready with the script groups {sorted(state.groups)}")
    if not state.reason or not explain.sentence(state):
        found.append("cannot say why it is where it is")
    return tuple(found)


def broken_by_pair(first: State, second: State) -> tuple[str, ...]:
    """The rules that two nodes' records break together, whatever each knows of the other."""
    found: list[str] = []
    one, two = first.authority, second.authority
    alone = Role.ALONE
    if one.role is alone and two.role is alone and one.generation == two.generation and one.generation:
        found.append(f"both nodes are recorded as acting alone in generation {one.generation}")
    if one.in_step_session and one.in_step_session == two.in_step_session and one.generation != two.generation:
        found.append(f"both are in step in {one.in_step_session}, with different generations")
    return tuple(found)
