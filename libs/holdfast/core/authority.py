"""Who may hold the data: the durable record and the pure rules over it.

Each rule returns a Verdict with its reason in words, because every refusal and every wait must have one.
A *generation* names one history of the data, a *session* one period in step (see `docs/architecture.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from holdfast.core.peer import Peer
from holdfast.events.state import Announcement, Copy, Role
from holdfast.ids import NO_SESSION, Epoch, Generation, NodeId, Session

LINEAGE_LENGTH_MAX = 32
"""Generations remembered and announced. Beats are one datagram: 32 names of at most about 90 characters stay well
under 3 KiB. When the common one has been forgotten, a resync compares instead of using the change journal."""


NO_EPOCH = Epoch(0)
"""Before the first primary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuthorityRecord:
    """What a node must not forget about its own copy, durable before anything that follows from it is visible.

    role: what the node last was where data is concerned: ALONE, PRIM or SECOND; STOP when it never was any.
    A primary that has handed over is recorded as SECOND. last_primary: it was primary when it was last stopped.
    synced_ms: everything promised before this instant (Unix time in ms) is in this copy, 0 when nothing is known of it;
    offered_ms: the other node may say so of its copy for an instant up to this one (`holdfast.core.syncmark`).
    """

    epoch: Epoch = NO_EPOCH
    lineage: tuple[Generation, ...] = ()
    took_over: bool = False
    role: Role = Role.STOP
    copy: Copy = Copy.UNKNOWN
    in_step_session: Session = NO_SESSION
    incarnation: int = 0
    last_primary: bool = False
    synced_ms: int = 0
    offered_ms: int = 0

    @property
    def generation(self) -> Generation:
        return self.lineage[0] if self.lineage else Generation("")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer of a rule. reason: a whole sentence without its full stop."""

    yes: bool
    reason: str

    def __bool__(self) -> bool:
        return self.yes


NO_WITNESS = Verdict(yes=True, reason="")
"""What the witness says when none is configured: it forbids nothing, and gives no reason."""


class Relation(StrEnum):
    """How this node's copy relates to the peer's, by their lineages."""

    SAME = "same"
    OWN_NEWER = "own newer"
    PEER_NEWER = "peer newer"
    DIVERGED = "diverged"


def relation(own: tuple[Generation, ...], peer: tuple[Generation, ...]) -> Relation:
    """Compare two lineages: a copy whose newest generation appears in the other's lineage is the older one."""
    if own == peer or (own and peer and own[0] == peer[0]):
        return Relation.SAME
    if not peer or peer[0] in own:
        return Relation.OWN_NEWER
    if not own or own[0] in peer:
        return Relation.PEER_NEWER
    return Relation.DIVERGED


def common_generation(own: tuple[Generation, ...], peer: tuple[Generation, ...]) -> Generation:
    """The newest generation that both copies have in common; empty when there is none."""
    shared = set(peer)
    return next((generation for generation in own if generation in shared), Generation(""))


def is_newer(said: Announcement | None, record: AuthorityRecord) -> bool:
    """The peer's lineage, as last heard, descends from ours: it has gone on without us."""
    return said is not None and relation(record.lineage, said.lineage) is Relation.PEER_NEWER


def who_wins(node: NodeId, record: AuthorityRecord, peer: NodeId, said: Announcement) -> Verdict:
    """Which copy is the one to keep: yes means this node's. Both nodes come to the same answer from the same facts.

    In order: an up-to-date copy; the younger lineage; of two that diverged the one that has been alone for so long that
    the other can no longer begin by its sync mark, then the one that did *not* take over; the one that was primary; the
    higher epoch; the lower name.
    """
    own_good, peer_good = record.copy is Copy.UP_TO_DATE, said.copy is Copy.UP_TO_DATE
    if own_good != peer_good:
        return _won(own_good, "only {winner} has an up-to-date copy", node, peer)
    lines = relation(record.lineage, said.lineage)
    if lines in (Relation.OWN_NEWER, Relation.PEER_NEWER):
        return _won(lines is Relation.OWN_NEWER, "{winner}'s copy descends from {loser}'s", node, peer)
    if lines is Relation.DIVERGED and (record.offered_ms == 0) != (said.sync_mark_ms == 0):
        own = record.offered_ms == 0
        return _won(own, "the copies have diverged, and {loser} was alone only within syncdelta", node, peer)
    if lines is Relation.DIVERGED and record.took_over != said.took_over:
        return _won(not record.took_over, "the copies have diverged, and {loser} is the one that took over", node, peer)
    was_primary = (Role.ALONE, Role.PRIM)
    if lines is Relation.SAME and (record.role in was_primary) != (said.durable_role in was_primary):
        return _won(record.role in was_primary, "the copies are equal, and {winner} was primary last", node, peer)
    if record.epoch != said.epoch:
        return _won(record.epoch > said.epoch, "{winner} has the higher epoch", node, peer)
    return _won(node < peer, "all else being equal the lower name wins: {winner}", node, peer)


def _won(own: bool, reason: str, node: NodeId, peer: NodeId) -> Verdict:
    winner, loser = (node, peer) if own else (peer, node)
    return Verdict(yes=own, reason=reason.format(winner=winner, loser=loser))


def _lost(what: str, peer: Peer, witness: Verdict) -> Verdict:
    """May this node act because the other one is lost? Only if the witness does not forbid it: both may be cut off."""
    reason = f"{what} is lost: {peer.why}" if peer.why else f"{what} is lost"
    joined = f"{reason}, {'and' if witness else 'but'} {witness.reason}" if witness.reason else reason
    return Verdict(yes=witness.yes, reason=joined)


def may_promote(record: AuthorityRecord, peer: Peer, *, failover: bool, witness: Verdict = NO_WITNESS) -> Verdict:
    """May a secondary take over? Only when its copy is in step and the primary is lost or has given the role away."""
    if record.copy is not Copy.UP_TO_DATE or record.in_step_session == NO_SESSION:
        return Verdict(yes=False, reason="this copy is not in step with the primary's")
    if is_newer(peer.said, record):
        return Verdict(yes=False, reason="the primary has gone on without this node")
    said = peer.said
    if peer.is_heard and said is not None and said.handover_session == record.in_step_session:
        if failover or said.request == "swap":
            return Verdict(yes=True, reason="the primary has handed over")
        return Verdict(yes=False, reason="the primary has stopped, and failover is switched off")
    if peer.has_left() and said is not None and said.in_step_session == record.in_step_session:
        if failover:
            return Verdict(yes=True, reason="the primary has ended without handing over")
        return Verdict(yes=False, reason="the primary has ended, and failover is switched off")
    if not peer.is_lost:
        return Verdict(yes=False, reason="the primary is there")
    if not failover:
        return Verdict(yes=False, reason="the primary is lost, and failover is switched off")
    return _lost("the primary", peer, witness)


def may_go_alone(
    record: AuthorityRecord,
    peer: Peer,
    *,
    node: NodeId,
    peer_node: NodeId,
    replicated: bool,
    witness: Verdict = NO_WITNESS,
) -> Verdict:
    """May a primary in step go on without its secondary? Only when the secondary cannot take over in this session."""
    said, session = peer.said, record.in_step_session
    if is_newer(said, record):
        return Verdict(yes=False, reason="the other node has taken over")
    if said is not None and said.renounced_session == session:
        return Verdict(yes=True, reason="the secondary has recorded that its copy is outdated")
    if peer.is_lost:
        return _lost("the secondary", peer, witness)
    if not peer.is_heard or said is None:
        return Verdict(yes=False, reason="nothing is decided about the secondary")
    if peer.has_left() and (said.in_step_session != session or not replicated):
        return Verdict(yes=True, reason="the secondary has left and does not count itself in step")
    if peer.is_primary and who_wins(node, record, peer_node, said):
        return Verdict(yes=True, reason="the other node acts as primary on a copy that has to give way")
    return Verdict(yes=False, reason="the secondary may still take over in this session")


def may_start_alone(
    record: AuthorityRecord,
    peer: Peer,
    *,
    node: NodeId,
    peer_node: NodeId,
    replicated: bool,
    witness: Verdict = NO_WITNESS,
    recent: bool = False,
) -> Verdict:
    """May a node that starts act as primary without an operator's word? Only when nobody can have newer data.

    recent: the other node is lost, and the operator accepts (`syncdelta`) what may be missing in so young a copy.
    """
    said = peer.said
    recent = recent and replicated and peer.is_lost
    if peer.presence == "unknown" or (peer.presence == "heard" and said is None):
        return Verdict(yes=False, reason=f"listening for {peer_node}")
    if record.copy is Copy.UNKNOWN:
        return Verdict(yes=False, reason="no copy has been chosen yet: use prim on the node that has the wanted data")
    if peer.is_primary:
        return Verdict(yes=False, reason=f"{peer_node} is primary")
    if record.copy is not Copy.UP_TO_DATE and not (recent and record.copy is Copy.OUTDATED):
        return Verdict(yes=False, reason=f"this copy is {record.copy}, and no primary is reachable")
    if peer.is_heard and said is not None:
        if said.role is Role.SECOND:
            return Verdict(yes=False, reason=f"{peer_node} is secondary and decides whether it takes over")
        winner = who_wins(node, record, peer_node, said)
        hint = "" if winner else f"; start {peer_node}, or use prim here"
        return Verdict(yes=winner.yes, reason=winner.reason + hint)
    if replicated and is_newer(said, record):
        return Verdict(
            yes=False, reason=f"{peer_node} had newer data when it was last heard: start it, or use prim here"
        )
    if replicated and not recent and (doubt := _unheard_data(record, peer_node)):
        return Verdict(yes=False, reason=doubt)
    if not witness:
        return Verdict(yes=False, reason=f"{peer_node} is not there, but {witness.reason}")
    why = "the last synchronisation is younger than syncdelta" if recent else "cannot have newer data"
    return Verdict(yes=True, reason=f"{peer_node} is not there and {why}")


def _unheard_data(record: AuthorityRecord, peer_node: NodeId) -> str:
    """Why a node may have newer data that nobody has heard of, with what an operator can do; empty when it cannot."""
    if record.in_step_session != NO_SESSION:
        return f"this node was in step with {peer_node}, which may have gone on alone: start it, or use prim here"
    if record.offered_ms:
        return f"{peer_node} may have gone on alone within syncdelta: start it, or use prim here"
    return ""


def may_begin_forced(record: AuthorityRecord, peer: Peer, *, peer_node: NodeId, force: bool) -> Verdict:
    """May an operator's `prim` make this node primary?"""
    if peer.is_primary:
        return Verdict(yes=False, reason=f"{peer_node} is already primary: use swap")
    if peer.is_heard and peer.said is not None and peer.said.role is Role.SECOND:
        return Verdict(yes=False, reason=f"{peer_node} is a running secondary: stop it, or use swap")
    if record.copy is Copy.RESYNCING and not force:
        return Verdict(
            yes=False,
            reason="the resync of this copy was interrupted, files may be half copied: prim force accepts that",
        )
    return Verdict(yes=True, reason="an operator said prim")


def generation_name(node: NodeId, epoch: Epoch, incarnation: int) -> Generation:
    """Unique: a node never begins two generations with the same epoch and incarnation."""
    return Generation(f"{node}.{epoch}.{incarnation}")


def alone(
    record: AuthorityRecord, *, node: NodeId, epoch_seen: Epoch, took_over: bool, forced: bool
) -> AuthorityRecord:
    """The record of a node that begins to act alone: a higher epoch, and a new generation wherever the copies may part.

    A node that was alone when it stopped goes on in its generation, which nobody else has. A copy whose resync was
    interrupted and that an operator forces has no ancestors that could be trusted for a resync by difference.
    """
    epoch = Epoch(max(record.epoch, epoch_seen) + 1)
    goes_on = (
        record.role is Role.ALONE
        and record.copy is Copy.UP_TO_DATE
        and record.in_step_session == NO_SESSION
        and bool(record.lineage)
        and not forced
    )
    if goes_on:
        return replace(record, epoch=epoch, last_primary=False)
    ancestors = () if record.copy in (Copy.RESYNCING, Copy.UNKNOWN) else record.lineage
    return replace(
        record,
        epoch=epoch,
        lineage=(generation_name(node, epoch, record.incarnation), *ancestors)[:LINEAGE_LENGTH_MAX],
        took_over=took_over,
        role=Role.ALONE,
        copy=Copy.UP_TO_DATE,
        in_step_session=NO_SESSION,
        last_primary=False,
    )


def in_step_primary(record: AuthorityRecord, session: Session) -> AuthorityRecord:
    """From here the primary's promises need the peer. Recorded before the secondary can count itself in step."""
    return replace(record, role=Role.PRIM, in_step_session=session, synced_ms=0, offered_ms=0)


def in_step_secondary(record: AuthorityRecord, said: Announcement, session: Session) -> AuthorityRecord:
    """The secondary's copy equals the primary's as of the marker of `session`, and has its history."""
    return replace(
        record,
        role=Role.SECOND,
        copy=Copy.UP_TO_DATE,
        in_step_session=session,
        lineage=said.lineage,
        took_over=said.took_over,
        epoch=max(record.epoch, said.epoch),
        synced_ms=0,
        offered_ms=0,
    )


def joining(record: AuthorityRecord, said: Announcement, *, replicated: bool) -> AuthorityRecord:
    """This copy is about to be overwritten by the primary's: it can no longer be trusted until it is in step."""
    return replace(
        record,
        role=Role.SECOND,
        copy=Copy.RESYNCING if replicated else record.copy,
        in_step_session=NO_SESSION,
        epoch=max(record.epoch, said.epoch),
        synced_ms=0,
        offered_ms=0,
    )


def renounced(record: AuthorityRecord, copy: Copy) -> AuthorityRecord:
    """The secondary gives up its claim to be in step; `copy` says whether a resync is to follow at once."""
    after = replace(record, in_step_session=NO_SESSION, copy=copy if record.copy is Copy.UP_TO_DATE else record.copy)
    # A resync mixes both copies: nothing can be said any more of what is in this one.
    return replace(after, synced_ms=0) if after.copy is Copy.RESYNCING else after
