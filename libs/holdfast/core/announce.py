"""What this node tells the other about itself, derived from its state."""

from __future__ import annotations

from dataclasses import replace

from holdfast.core.resources import told_resources
from holdfast.core.state import State
from holdfast.events.state import Announcement, Copy


def request_of(state: State) -> str:
    """The request that an announcement carries."""
    if state.claiming:
        return "primary"
    if state.swap_requested_at_mono_ns or state.handover_is_swap:
        return "swap"
    return ""


def is_degraded(state: State) -> bool:
    """The application runs here, but its replication has failed."""
    return state.is_primary and state.replication is not None and bool(state.replication.failed)


def announced(state: State) -> State:
    """The state with its announcement brought up to date. The number grows when anything but `seen` changed: the
    other node's answer to having been seen must not need an answer itself."""
    record, last, said = state.authority, state.announcement, state.peer.said
    same_life = last.incarnation == record.incarnation
    fresh = Announcement(
        incarnation=record.incarnation,
        number=last.number if same_life else 0,
        seen_incarnation=said.incarnation if said is not None else 0,
        seen=said.number if said is not None else 0,
        role=state.role,
        status=state.status,
        epoch=record.epoch,
        lineage=record.lineage,
        took_over=record.took_over,
        durable_role=record.role,
        copy=record.copy if state.is_replicated else Copy.UP_TO_DATE,
        in_step_session=record.in_step_session,
        broken_session=state.broken_session,
        renounced_session=state.renounced_session,
        handover_session=state.handover_session,
        request=request_of(state),
        sync_mark_ms=record.offered_ms,
        degraded=is_degraded(state),
        configuration=state.settings.signature,
        resources=told_resources(state, state.settings.rules),
        trace=state.trace,
    )
    if fresh == last:
        return _with_claim(state)
    unseen = replace(last, seen=fresh.seen, seen_incarnation=fresh.seen_incarnation)
    number = fresh.number if fresh == unseen else fresh.number + 1
    return _with_claim(replace(state, announcement=replace(fresh, number=number)))


def _with_claim(state: State) -> State:
    """Remember with which number the claim to start as primary was first announced."""
    if state.claiming == (state.claim_number != 0):
        return state
    return replace(state, claim_number=state.announcement.number if state.claiming else 0)
