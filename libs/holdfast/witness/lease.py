"""PURE: who has the lease of a module, and who gets it.

The lease is the right to act alone. It does not run out: while its holder may hold data that the other node lacks,
nobody else may act, however long the holder is silent. It passes on when the holder says that it does not act, or when
the other node proves that the holder has had it in step since: both then had the same data, and the first who asks gets
it. Clocks play no part.

What proves it is the epoch. Each time that a node begins to act alone it raises its epoch; a node in step has recorded
the epoch of its primary. So a node in step at the lease's epoch, or later, was joined by the holder after it got the
lease.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """holder: the node that may act alone, "" when nobody has the lease. epoch: that it acts in, or will; without a
    holder the last one known. acting: the holder has said that it acts."""

    holder: str = ""
    epoch: int = 0
    acting: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """What a node is. epoch: of its durable record. in_step: its record says so. wants: it asks to act alone, which it
    would do in the next epoch. acting: it is ALONE. replicated: it has data that must not be taken over from."""

    node: str
    epoch: int
    in_step: bool = False
    wants: bool = False
    acting: bool = False
    replicated: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """lease: from now on. granted: to the node that asked. why: in words, when not."""

    lease: Lease
    granted: bool = False
    why: str = ""


def decide(lease: Lease, stand: Stand) -> Decision:
    """Take what a node says of itself; grant or refuse what it asks."""
    if stand.acting:
        return Decision(lease=_acting(lease, stand))
    if not stand.wants:
        is_holder = lease.holder == stand.node
        # What was granted and not used is given back with the epoch that it was asked from.
        return Decision(lease=Lease(epoch=stand.epoch) if is_holder else lease)
    why = _against(lease, stand)
    if why:
        return Decision(lease=lease, why=why)
    return Decision(lease=Lease(holder=stand.node, epoch=max(lease.epoch, stand.epoch + 1)), granted=True)


def _acting(lease: Lease, stand: Stand) -> Lease:
    """A node is ALONE, by a grant, by the other node's word or by an operator's. The newer epoch stands; of two equal
    ones that of the node that acts, for one that was merely granted has been given up by the other's word."""
    is_newer = stand.epoch > lease.epoch or (stand.epoch == lease.epoch and not lease.acting)
    if lease.holder == stand.node or is_newer:
        return Lease(holder=stand.node, epoch=stand.epoch, acting=True)
    return lease


def _against(lease: Lease, stand: Stand) -> str:
    """Why this node may not act alone; empty when it may."""
    if lease.holder == stand.node:
        return ""
    if not lease.holder:
        is_behind = stand.replicated and stand.epoch < lease.epoch
        return f"the witness knows of newer data (epoch {lease.epoch})" if is_behind else ""
    has_joined = stand.epoch >= lease.epoch if stand.in_step else stand.epoch > lease.epoch
    return "" if has_joined else f"the witness has let {lease.holder} act (epoch {lease.epoch})"
