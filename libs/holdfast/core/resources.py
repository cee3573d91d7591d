"""The resources that rules can look at: those that were assigned, and those that follow from what a node is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from holdfast.core import syncmark, witness
from holdfast.core.condition import DOWN, UNKNOWN, UP, Values
from holdfast.core.peer import PRIMARY_ROLES, Presence
from holdfast.core.rule import RuleSettings
from holdfast.core.state import State
from holdfast.events.state import Announcement, Copy

STATE_PRIMARY, RFS_UPTODATE, RFS_DEGRADED = "state.primary", "rfs.uptodate", "rfs.degraded"
RFS_SYNCED = "rfs.synced"
"""Up while the last synchronisation is younger than syncdelta."""
SPLITBRAIN_UPTODATE = "splitbrain.uptodate"
"""Down while this node may not act because the witness refuses, or is not reached."""
ANNOUNCED = frozenset({STATE_PRIMARY, RFS_UPTODATE, RFS_DEGRADED})
"""Resources that follow from an announcement, so that they need not be told beside it."""

TOLD_MAX = 64
"""Resources told to the other node's rules: with TOLD_CHARS_MAX and names of at most 129 characters under 13 KB, far
from the 32 KB that a beat's body may have."""
TOLD_CHARS_MAX = 64

CLUSTER: Mapping[Presence, str] = MappingProxyType({Presence.HEARD: UP, Presence.LOST: DOWN, Presence.UNKNOWN: UNKNOWN})
"""What `cluster()` says."""


def values_of(state: State) -> Values:
    """Everything that a rule may look at now. Of a node that is not heard nothing is known."""
    said = state.peer.said if state.peer.is_heard else None
    remote = {} if said is None else {**said.resources, **_announced(said)}
    return Values(local=local_values(state), remote=remote, cluster=CLUSTER[state.peer.presence])


def local_values(state: State) -> dict[str, str]:
    """This node's resources."""
    copy = state.authority.copy if state.is_replicated else Copy.UP_TO_DATE
    failed = state.is_primary and state.replication is not None and bool(state.replication.failed)
    values = {name: resource.value for name, resource in state.resources.items()}
    values[STATE_PRIMARY] = _word(state.role in PRIMARY_ROLES)
    values[RFS_UPTODATE] = _word(copy is Copy.UP_TO_DATE)
    values[RFS_DEGRADED] = _word(failed)
    if state.settings.sync_delta_ms:
        values[RFS_SYNCED] = _word(syncmark.is_recent(state))
    if state.settings.witness is not None:
        values[SPLITBRAIN_UPTODATE] = _word(not witness.refuses(state))
    return values


def told_resources(state: State, rules: RuleSettings) -> dict[str, str]:
    """What the other node's rules need to know of this one."""
    if not rules.told:
        return {}
    values = local_values(state)
    names = (name for name in sorted(values) if any(operand.covers(name) for operand in rules.told))
    return {name: values[name][:TOLD_CHARS_MAX] for _, name in zip(range(TOLD_MAX), names, strict=False)}


def _announced(said: Announcement) -> dict[str, str]:
    return {
        STATE_PRIMARY: _word(said.role in PRIMARY_ROLES),
        RFS_UPTODATE: _word(said.copy is Copy.UP_TO_DATE),
        RFS_DEGRADED: _word(said.degraded),
    }


def _word(is_so: bool) -> str:
    return UP if is_so else DOWN
