"""Conditions of the transition table: predicates over a State, named as the table says them."""

from __future__ import annotations

from holdfast.core import authority, rules, syncmark, witness
from holdfast.core.authority import Relation, Verdict
from holdfast.core.settings import DEFAULT_PRIMARY_LAST
from holdfast.core.state import ENDING, STOPPING, Data, Forced, State, Wish
from holdfast.core.steps import NS_PER_MS
from holdfast.events.module import Action
from holdfast.events.replication import ReplicationMode
from holdfast.events.state import Copy, Role, Status
from holdfast.ids import NO_SESSION, Session

SWAP_REQUEST_LIMIT_MS = 30_000
"""A secondary's request to swap is withdrawn after this: the primary was busy, and the operator may ask again."""


def wants_start(state: State) -> bool:
    return state.wish is Wish.START


def wants_stop_in_wait(state: State) -> bool:
    return state.role is Role.WAIT and state.wish in ENDING and not state.leaving


def has_ended(state: State) -> bool:
    return state.wish in ENDING and state.leaving


def begins_to_stop(state: State) -> bool:
    return state.wish in STOPPING and not state.leaving


def has_stopped(state: State) -> bool:
    return state.wish in STOPPING and state.leaving


def is_forced_to_stop(state: State) -> bool:
    return state.wish is Wish.STOP and state.forget_scripts and not state.leaving


def may_enter(state: State) -> bool:
    """WAIT may be left towards a role: nothing stands in the way, and nothing that might is still unknown."""
    return state.wish is Wish.NONE and not state.blocked_by and not state.undecided_resource


def joins(state: State) -> bool:
    said = state.peer.said
    if (
        not may_enter(state)
        or not state.peer.is_primary
        or said is None
        or state.forced in (Forced.PRIM, Forced.PRIM_ANYWAY)
    ):
        return False
    if said.degraded or peer_acts_on_older_copy(state):
        return False
    return said.epoch >= state.authority.epoch or not state.is_replicated


def peer_acts_on_older_copy(state: State) -> bool:
    """This node had taken over from that primary, which does not know it yet and will step down."""
    record, said = state.authority, state.peer.said
    if not state.peer.is_primary or said is None or record.copy is not Copy.UP_TO_DATE:
        return False
    return authority.relation(record.lineage, said.lineage) is Relation.OWN_NEWER


def peer_is_degraded(state: State) -> bool:
    said = state.peer.said
    return state.peer.is_primary and said is not None and said.degraded


def start_verdict(state: State) -> Verdict:
    """May this node become primary out of WAIT, by an operator's word or by the rules?"""
    settings = state.settings
    if state.forced is Forced.SECOND:
        return Verdict(yes=False, reason=f"told to be second: waits for {settings.peer} to be primary")
    if state.forced in (Forced.PRIM, Forced.PRIM_ANYWAY):
        force = state.forced is Forced.PRIM_ANYWAY
        return authority.may_begin_forced(state.authority, state.peer, peer_node=settings.peer, force=force)
    return authority.may_start_alone(
        state.authority,
        state.peer,
        node=settings.node,
        peer_node=settings.peer,
        replicated=state.is_replicated,
        witness=witness.permit(state),
    )


def starts_with_peer_gone(state: State) -> bool:
    return may_enter(state) and not state.claiming and state.peer.is_lost and start_verdict(state).yes


def starts_recently_synchronised(state: State) -> bool:
    """The other node is gone and may have newer data, which the operator accepts to lose within syncdelta."""
    if not may_enter(state) or state.claiming or state.forced is not Forced.NOT or not state.peer.is_lost:
        return False
    if not syncmark.is_recent(state) or start_verdict(state):
        return False
    settings = state.settings
    return authority.may_start_alone(
        state.authority,
        state.peer,
        node=settings.node,
        peer_node=settings.peer,
        replicated=state.is_replicated,
        witness=witness.permit(state),
        recent=True,
    ).yes


def begins_claim(state: State) -> bool:
    return (
        may_enter(state)
        and not state.claiming
        and state.peer.is_heard
        and start_verdict(state).yes
        and not peer_claims_better(state)
    )


def withdraws_claim(state: State) -> bool:
    return state.claiming and (not may_enter(state) or not start_verdict(state) or peer_claims_better(state))


def claim_is_granted(state: State) -> bool:
    """The peer is gone, or has seen the claim and does not act against it."""
    said = state.peer.said
    if not state.claiming or state.claim_number == 0:
        return False
    if state.peer.is_lost:
        return start_verdict(state).yes
    return (
        state.peer.is_heard
        and said is not None
        and said.seen_incarnation == state.authority.incarnation
        and said.seen >= state.claim_number
    )


def peer_claims_better(state: State) -> bool:
    """Both claim to start as primary, and the peer has the better claim."""
    said = state.peer.said
    if not state.peer.is_heard or said is None or said.request != "primary":
        return False
    return not authority.who_wins(state.settings.node, state.authority, state.settings.peer, said)


def secondary_is_equal(state: State) -> bool:
    """Replication proposes a session, and the peer is a secondary that has recorded its resync."""
    said = state.peer.said
    if (
        state.leaving
        or state.wish in STOPPING
        or not state.peer.is_heard
        or said is None
        or said.role is not Role.SECOND
    ):
        return False
    if not state.is_replicated:
        return True
    report = state.replication
    return (
        report is not None
        and said.copy is Copy.RESYNCING
        and report.proposed_session != NO_SESSION
        and report.epoch == state.authority.epoch
        and not report.failed
    )


def marker_is_applied(state: State) -> bool:
    """Our copy has reached the marker of the session that the primary has recorded."""
    said = state.peer.said
    if said is None or said.in_step_session in (NO_SESSION, state.authority.in_step_session):
        return False
    session = said.in_step_session
    if session in (state.renounced_session, said.broken_session) or state.promoting or state.leaving:
        return False
    if not state.is_replicated:
        return state.peer.is_heard and said.role is Role.PRIM
    report = state.replication
    return (
        report is not None
        and report.mode is ReplicationMode.SECONDARY
        and report.in_step_session == session
        and state.authority.copy is Copy.RESYNCING
    )


def link_is_down(state: State) -> bool:
    """Replication has lost the peer, or has failed, in the session that is recorded."""
    report = state.replication
    if report is None or not state.is_replicated or not state.is_in_step:
        return False
    return bool(report.failed) or report.broken_session == state.authority.in_step_session


def asks_to_renounce(state: State) -> bool:
    grace_ns = state.settings.renounce_grace_ms * NS_PER_MS
    return (
        link_is_down(state)
        and state.broken_session != state.authority.in_step_session
        and state.now_mono_ns >= state.broken_since_mono_ns + grace_ns
    )


def link_is_back(state: State) -> bool:
    return state.broken_session != NO_SESSION and not link_is_down(state)


def must_renounce(state: State) -> bool:
    """The primary asks for it, or has gone on without us."""
    said = state.peer.said
    if said is None:
        return False
    asked = state.peer.is_primary and said.broken_session not in (NO_SESSION, state.renounced_session)
    return asked or (state.is_in_step and authority.is_newer(said, state.authority))


def alone_verdict(state: State) -> Verdict:
    """May this primary go on without its secondary?"""
    settings = state.settings
    return authority.may_go_alone(
        state.authority,
        state.peer,
        node=settings.node,
        peer_node=settings.peer,
        replicated=state.is_replicated,
        witness=witness.permit(state),
    )


def goes_alone(state: State) -> bool:
    return not state.leaving and state.wish not in STOPPING and alone_verdict(state).yes


def goes_alone_while_leaving(state: State) -> bool:
    return (state.leaving or state.wish in STOPPING) and alone_verdict(state).yes


def promotion_verdict(state: State) -> Verdict:
    return authority.may_promote(
        state.authority, state.peer, failover=state.switches.failover, witness=witness.permit(state)
    )


def prepares_to_take_over(state: State) -> bool:
    return not state.promoting and not state.leaving and state.wish not in STOPPING and promotion_verdict(state).yes


def takes_over(state: State) -> bool:
    """Everything received is applied, and the verdict still stands."""
    report = state.replication
    applied = not state.is_replicated or (
        report is not None and report.mode is ReplicationMode.PRIMARY and report.applied_all
    )
    return state.promoting and not state.leaving and applied and promotion_verdict(state).yes


def breaks_off_take_over(state: State) -> bool:
    return state.promoting and not promotion_verdict(state)


def primary_is_gone(state: State) -> bool:
    return state.peer.is_lost or state.peer.has_left() or peer_is_degraded(state)


def is_kept_from_taking_over(state: State) -> bool:
    """In step with a primary that is gone, and failover is off."""
    kept = not state.leaving and state.is_in_step and primary_is_gone(state) and not promotion_verdict(state)
    return kept and not witness.needs(state)


def is_isolated_primary(state: State) -> bool:
    """The secondary is lost, and the witness may have let it take over: whatever is under way, nothing is promised."""
    return state.data is not Data.FENCED and witness.refuses(state)


def has_left_isolated(state: State) -> bool:
    return state.wish is Wish.ISOLATED and state.leaving


def is_isolated_secondary(state: State) -> bool:
    return not state.leaving and witness.keeps_from_taking_over(state)


def is_left_behind(state: State) -> bool:
    return not state.leaving and not state.is_in_step and primary_is_gone(state)


def resync_has_failed(state: State) -> bool:
    """Replication says, as a secondary, that it cannot go on by itself; what it said before it was one is past."""
    report = state.replication
    if state.leaving or state.promoting or report is None:
        return False
    return report.mode is ReplicationMode.SECONDARY and bool(report.failed)


def secondary_is_ready(state: State) -> bool:
    said = state.peer.said
    return (
        state.peer.is_heard
        and said is not None
        and said.role is Role.SECOND
        and said.status is Status.READY
        and said.in_step_session == state.authority.in_step_session
    )


def swap_is_asked_for(state: State) -> bool:
    said = state.peer.said
    return state.wish is Wish.NONE and secondary_is_ready(state) and said is not None and said.request == "swap"


def default_primary_is_back(state: State) -> bool:
    return (
        state.wish is Wish.NONE
        and state.switches.failover
        and secondary_is_ready(state)
        and state.settings.defaultprim == state.settings.peer
    )


def wants_its_role_back(state: State) -> bool:
    return (
        state.settings.defaultprim == DEFAULT_PRIMARY_LAST
        and state.authority.last_primary
        and state.switches.failover
        and state.status is Status.READY
        and state.peer.is_primary
        and state.swap_requested_at_mono_ns == 0
    )


def swap_request_is_over(state: State) -> bool:
    if state.swap_requested_at_mono_ns == 0:
        return False
    late = state.now_mono_ns >= state.swap_requested_at_mono_ns + SWAP_REQUEST_LIMIT_MS * NS_PER_MS
    return late or not state.peer.is_primary


def begins_swap(state: State) -> bool:
    return state.wish is Wish.SWAP and not state.leaving and secondary_is_ready(state)


def swap_is_off(state: State) -> bool:
    """The secondary is no longer there to take the role."""
    return state.wish is Wish.SWAP and not state.leaving and not secondary_is_ready(state)


def swap_is_drained(state: State) -> bool:
    return state.wish is Wish.SWAP and state.leaving and state.is_in_step


def loses_against_peer(state: State) -> bool:
    """Both act as primary and the peer's copy is to be kept; or the peer had taken over before it stopped again."""
    said = state.peer.said
    if state.leaving or not state.peer.is_heard or said is None:
        return False
    if not state.peer.is_primary:
        return authority.is_newer(said, state.authority) and said.copy is Copy.UP_TO_DATE
    return not authority.who_wins(state.settings.node, state.authority, state.settings.peer, said)


def has_stepped_down(state: State) -> bool:
    return state.wish is Wish.STEP_DOWN and state.leaving


def is_outnumbered(state: State) -> bool:
    """The peer's epoch is above ours though it is the one that will join: it would refuse our stream."""
    said = state.peer.said
    if state.leaving or not state.peer.is_heard or said is None or said.epoch <= state.authority.epoch:
        return False
    return not state.peer.is_primary or not loses_against_peer(state)


def wants_restart(state: State) -> bool:
    return state.wish is Wish.RESTART


def resource_asks(state: State) -> bool:
    if state.wish is not Wish.NONE:
        return False
    asked = rules.wanted(state)
    return asked is not None and rules.is_due(state, asked.action)


def is_blocked_by_resource(state: State) -> bool:
    return state.wish is Wish.NONE and not state.blocked_by and rules.blocking(state) is not None


def wakes_up(state: State) -> bool:
    """What kept the module waiting is over."""
    if not state.blocked_by:
        return False
    if state.blocked_resource:
        return rules.blocking(state) is None and rules.is_due(state, Action.NOACTION)
    return state.blocked_until_mono_ns > 0 and state.now_mono_ns >= state.blocked_until_mono_ns


def session_of_peer(state: State) -> Session:
    return state.peer.said.in_step_session if state.peer.said is not None else NO_SESSION
