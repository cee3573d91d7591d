"""The sync mark: up to which instant everything promised is known to be in a copy, for `syncdelta`.

A primary in step *offers* an instant of its wall clock, durably, before it announces it. The secondary that hears the
offer in the same session has everything that was promised before it, and records the offer as its own mark. The primary
counts the offer as its own mark only when it hears that: a primary that stood still while the other one took over must
not believe in an instant that lies after that.

So `synced_ms` says how old this copy may be, and `offered_ms` how young the other node's mark may be. While a mark of
the other node may still be young (the mark is *open*), that node may act by it, and nobody may rely on its not acting.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core.authority import AuthorityRecord
from holdfast.core.state import STOPPING, State
from holdfast.core.steps import NS_PER_MS
from holdfast.events.module import WitnessKind
from holdfast.events.state import Role
from holdfast.ids import NO_SESSION


def is_recent(state: State) -> bool:
    """May this copy be the one to go on with although the other node may have newer data? Only what was promised within
    `syncdelta` can be missing in it. A mark in the future (the wall clock was set back) counts for nothing."""
    settings, mark_ms = state.settings, state.authority.synced_ms
    if not settings.sync_delta_ms or not mark_ms or not state.switches.failover or not state.is_replicated:
        return False
    if settings.witness is not None and settings.witness.kind is WitnessKind.LEASE and not _is_told_by_lease(state):
        return False
    return 0 <= _wall_ms(state) - mark_ms <= settings.sync_delta_ms


def _is_told_by_lease(state: State) -> bool:
    """Would a lease witness know if the other node acted? Not when this one has recorded that its copy is outdated: on
    that word the other one went on without asking."""
    return state.is_in_step or state.authority.role is Role.ALONE


def offers(state: State) -> bool:
    """Is it time for a primary in step to offer a new mark, and is the one before it settled?"""
    return _may_offer(state) and _wall_ms(state) >= _next_offer_ms(state)


def _may_offer(state: State) -> bool:
    record = state.authority
    if not state.settings.sync_delta_ms or not state.is_replicated or not state.is_in_step:
        return False
    return not state.leaving and state.wish not in STOPPING and record.offered_ms == record.synced_ms


def _next_offer_ms(state: State) -> int:
    offered_ms = state.authority.offered_ms
    return offered_ms + min(state.settings.sync_mark_ms, state.settings.sync_delta_ms // 4) if offered_ms else 0


def offered(state: State) -> State:
    return replace(state, authority=replace(state.authority, offered_ms=_wall_ms(state)))


def is_confirmed(state: State) -> bool:
    """Has the secondary recorded the offer, in step in our session? Then it had not taken over at that instant."""
    record, said = state.authority, state.peer.said
    if record.offered_ms == record.synced_ms or said is None or not state.peer.is_heard:
        return False
    is_ours = state.is_in_step and said.in_step_session == record.in_step_session and said.role is Role.SECOND
    return is_ours and said.sync_mark_ms == record.offered_ms


def confirmed(state: State) -> State:
    return replace(state, authority=replace(state.authority, synced_ms=state.authority.offered_ms))


def is_offered_one(state: State) -> bool:
    """Has the primary, in step in our session, offered a newer mark than ours?"""
    record, said = state.authority, state.peer.said
    if said is None or not state.is_in_step or state.promoting or state.leaving:
        return False
    is_ours = said.role is Role.PRIM and said.in_step_session == record.in_step_session != NO_SESSION
    return is_ours and said.sync_mark_ms > record.offered_ms


def takes_mark(state: State) -> State:
    """A secondary that is in step has everything that was promised before the primary's offer."""
    said = state.peer.said
    assert said is not None, "the guard has found an offer"
    mark_ms = said.sync_mark_ms
    return replace(state, authority=replace(state.authority, synced_ms=mark_ms, offered_ms=mark_ms))


def is_over(state: State) -> bool:
    """Is the other node's mark too old for it to act by, whatever its clock says?"""
    return state.authority.offered_ms > 0 and _wall_ms(state) >= _over_at_ms(state)


def _over_at_ms(state: State) -> int:
    return state.authority.offered_ms + state.settings.sync_delta_ms + state.settings.clocks_apart_ms


def forgets_mark(state: State) -> State:
    """While this node acts alone the other one can no longer come to do so by its mark."""
    return replace(state, authority=without_mark(state.authority))


def without_mark(record: AuthorityRecord) -> AuthorityRecord:
    return replace(record, synced_ms=0, offered_ms=0)


def due_mono_ns(state: State) -> int | None:
    """When time alone makes this node offer or forget a mark, if it does."""
    match state.role:
        case Role.PRIM if _may_offer(state):
            at_ms = _next_offer_ms(state)
        case Role.ALONE if state.authority.offered_ms > 0:
            at_ms = _over_at_ms(state)
        case _:
            return None
    return state.now_mono_ns + max(0, at_ms * NS_PER_MS - state.now_wall_ns)


def _wall_ms(state: State) -> int:
    return state.now_wall_ns // NS_PER_MS
