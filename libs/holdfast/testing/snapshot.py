"""A whole two-node cluster as one frozen value: what the exhaustive exploration branches from.

The shipped core decides; replication, verdicts and the network are reduced to what their contracts allow. Scripts and
addresses are done as soon as they are ordered, so that the exploration's width goes into data and authority.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from holdfast.core import AuthorityRecord, State, decide, evolve, initial
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.module import AddressesReported, ScriptFinished
from holdfast.events.replication import ReplicateDirectories, ReplicationMode, ReplicationReported, Stance
from holdfast.events.state import Announcement
from holdfast.ids import NO_SESSION, Epoch, Session
from holdfast.testing.world import Variant, settings_of
from holdfast.witness.lease import Lease, Stand

_HYBRID = HybridTime(wall_ms=0, counter=0)
Writes = frozenset[int]
NOTHING: Writes = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """Replication of one node. Durable: content, dirty. The rest is lost when the node crashes."""

    content: Writes = NOTHING
    dirty: Writes = NOTHING
    pending: Writes = NOTHING
    order: ReplicateDirectories | None = None
    session: Session = NO_SESSION
    broken: Session = NO_SESSION
    proposed: Session = NO_SESSION
    drained: Session = NO_SESSION
    applied_all: bool = False
    resyncing: bool = False

    @property
    def mode(self) -> ReplicationMode:
        return self.order.mode if self.order is not None else ReplicationMode.OFF

    @property
    def is_writable(self) -> bool:
        order = self.order
        return order is not None and order.mode is ReplicationMode.PRIMARY and order.stance is not Stance.DRAIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node. is_saved: the record has been written and the orders of `state` are out."""

    state: State
    record: AuthorityRecord
    copy: Copy = field(default_factory=Copy)
    is_on: bool = True
    is_saved: bool = True
    visible: Announcement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Two nodes and what is between them. wire: from the primary's replication to the secondary's; acks: back."""

    nodes: tuple[Node, Node]
    is_cut: bool = False
    was_cut: bool = False
    linked: bool = False
    wire: tuple[tuple[str, int | Session, Writes], ...] = ()
    acks: tuple[tuple[str, int | Session], ...] = ()
    sessions: int = 0
    written: int = 0
    promised: tuple[tuple[int, str], ...] = ()
    faults: int = 0
    commands: int = 0
    lease: Lease = field(default_factory=Lease)

    def with_node(self, index: int, node: Node) -> Snapshot:
        first, second = self.nodes
        return replace(self, nodes=(node, second) if index == 0 else (first, node))


def envelope(state: State, payload: object, now_ns: int) -> Envelope[object]:
    """An event of the exploration; time stands still unless a deed lets it pass."""
    settings = state.settings
    return Envelope(
        id="e",
        module=settings.module,
        node=settings.node,
        source="exploration",
        at_wall_ns=now_ns,
        at_mono_ns=now_ns,
        hybrid=_HYBRID,
        cause="",
        trace="",
        payload=payload,
    )


def fresh(index: int, variant: Variant | None = None) -> Node:
    record = AuthorityRecord()
    return Node(state=initial(settings_of(index, variant), record), record=record)


def stand(node: Node) -> Stand | None:
    """What this node's checker tells the witness by the orders that are out; None without a witness."""
    watch = next(iter(decide(node.state).watch.witnesses), None)
    if watch is None:
        return None
    return Stand(
        node=node.state.settings.node,
        epoch=watch.epoch,
        in_step=watch.in_step,
        wants=bool(watch.question),
        acting=watch.acting,
        replicated=watch.replicated,
    )


def fed(node: Node, payload: object, *, later_ns: int = 0) -> Node:
    """The node after one event. When its record changed, nothing of it is visible before `saved`."""
    state = evolve(node.state, envelope(node.state, payload, node.state.now_mono_ns + later_ns))
    after = replace(node, state=state, is_saved=state.authority == node.record)
    return shown(after) if after.is_saved else after


def saved(node: Node) -> Node:
    return shown(replace(node, record=node.state.authority, is_saved=True))


def shown(node: Node) -> Node:
    """The orders are out: scripts and addresses are done at once, the announcement can be heard."""
    while node.is_saved:
        orders = decide(node.state)
        node = replace(node, visible=orders.announce.announcement)
        held = node.state.addresses is not None and node.state.addresses.held
        payload: object
        if orders.run is not None:
            payload = ScriptFinished(
                run=orders.run.run, script=orders.run.script, exit_code=0, duration_ms=0.0, timed_out=False, log=""
            )
        elif orders.addresses.held != held or node.state.addresses is None:
            present = ("10.0.0.100",) if orders.addresses.held else ()
            payload = AddressesReported(held=orders.addresses.held, present=present)
        else:
            return node
        state = evolve(node.state, envelope(node.state, payload, node.state.now_mono_ns))
        node = replace(node, state=state, is_saved=state.authority == node.record)
    return node


def report(node: Node, *, linked: bool) -> ReplicationReported:
    """What this node's replication would now tell."""
    copy, order = node.copy, node.copy.order
    is_primary = copy.mode is ReplicationMode.PRIMARY
    return ReplicationReported(
        mode=copy.mode,
        epoch=order.epoch if order is not None else Epoch(0),
        mounted=copy.mode is not ReplicationMode.OFF,
        writable=copy.is_writable,
        connected=linked,
        proposed_session=copy.proposed,
        in_step_session=NO_SESSION if is_primary and copy.broken else copy.session,
        broken_session=copy.broken,
        drained_session=copy.drained,
        applied_all=copy.applied_all,
        resyncing=copy.resyncing,
    )
