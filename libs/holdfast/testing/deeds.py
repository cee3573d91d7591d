"""Everything that may happen next in a snapshot: deliveries, progress of replication, operators and faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.core import decide, initial
from holdfast.events.membership import PeerFound, PeerLost, PeerReported
from holdfast.events.module import Action, CommandRequested, ModuleOpened, TimerFired, WitnessReported
from holdfast.events.replication import ReplicateDirectories, ReplicationMode, Stance
from holdfast.events.state import Role
from holdfast.ids import NO_SESSION, Session
from holdfast.testing.snapshot import NOTHING, Copy, Node, Snapshot, fed, report, saved, stand
from holdfast.witness.lease import decide as decide_lease

Next = tuple[str, Snapshot]
GRACE_NS = 1_000_000_000


def following(
    world: Snapshot, *, faults: int, commands: tuple[Action, ...] = (), writes_max: int = 1
) -> Iterator[Next]:
    """Every next snapshot, with the name of what happened. Replication's reports reach the core at once."""
    for name, after in _deeds(world, faults, commands, writes_max):
        yield name, _told(after)


def _deeds(world: Snapshot, faults: int, commands: tuple[Action, ...], writes_max: int) -> Iterator[Next]:
    for index in (0, 1):
        yield from _of_node(world, index)
        yield from _of_witness(world, index, faults)
        yield from _of_replication(world, index, writes_max)
        node = world.nodes[index]
        if world.commands == 0 and node.is_on and node.is_saved:
            for action in commands:
                told = world.with_node(index, fed(node, CommandRequested(action=action)))
                yield f"node{index + 1} {action}", replace(told, commands=1)
    if world.is_cut:
        yield "heal", replace(world, is_cut=False)
    if world.faults < faults:
        yield from _faults(world)


def _told(world: Snapshot) -> Snapshot:
    """Replication reports what changed to the core of its node, as soon as that one listens."""
    for index in (0, 1):
        node = world.nodes[index]
        if node.is_on and node.is_saved and node.copy.order is not None:
            told = report(node, linked=world.linked)
            if told != node.state.replication:
                world = world.with_node(index, fed(node, told))
    return world


def _faults(world: Snapshot) -> Iterator[Next]:
    for index in (0, 1):
        if world.nodes[index].is_on:
            yield f"node{index + 1} dies", replace(_crashed(world, index), faults=world.faults + 1)
    if not world.is_cut:
        yield "cut", replace(_broken(world), is_cut=True, was_cut=True, faults=world.faults + 1)
    if world.linked:
        yield "link breaks", replace(_broken(world), faults=world.faults + 1)


def _of_node(world: Snapshot, index: int) -> Iterator[Next]:
    node, other = world.nodes[index], world.nodes[1 - index]
    name = f"node{index + 1}"
    if not node.is_on:
        yield f"{name} boots", world.with_node(index, _booted(node))
        return
    if not node.is_saved:
        yield f"{name} saves", world.with_node(index, saved(node))
        return
    peer = node.state.peer
    reachable = other.is_on and not world.is_cut
    if reachable and other.visible is not None:
        heard = node
        if other.visible != peer.said:
            heard = fed(heard, PeerReported(announcement=other.visible))
        if heard.is_saved and peer.presence != "heard":
            heard = fed(heard, PeerFound(incarnation=other.visible.incarnation))
        if heard is not node:
            yield f"{name} hears", world.with_node(index, heard)
    if not reachable and peer.presence != "lost":
        lost = PeerLost(reason="silence", last_heard_mono_ns=0, silent_ms=1000.0, evidence="")
        yield f"{name} loses peer", world.with_node(index, fed(node, lost))
    wake = decide(node.state).wake_at_mono_ns
    if wake is not None and node.state.role is Role.PRIM:
        yield f"{name} waits the grace", world.with_node(index, fed(node, TimerFired(), later_ns=GRACE_NS))


def _of_witness(world: Snapshot, index: int, faults: int) -> Iterator[Next]:
    """The witness is asked, or told what changes the lease; or it is not reached, which is a fault."""
    node, name = world.nodes[index], f"node{index + 1}"
    if not node.is_on or not node.is_saved:
        return
    told = stand(node)
    if told is None:
        return
    question, known = node.state.question, node.state.witness
    decision = decide_lease(world.lease, told)
    is_answered = known is not None and known.question == question
    is_open = bool(question) and not (known is not None and is_answered and known.granted)
    is_repeated = known is not None and is_answered and known.reachable and known.granted is decision.granted
    if decision.lease != world.lease or (is_open and not is_repeated):
        answer = WitnessReported(
            ident="third", reachable=True, question=question, granted=decision.granted, why=decision.why
        )
        after = fed(node, answer) if question else node
        yield f"{name} tells the witness", replace(world.with_node(index, after), lease=decision.lease)
    if is_open and world.faults < faults and not is_answered:
        answer = WitnessReported(ident="third", reachable=False, question=question, why="it is not reached")
        yield f"{name} misses the witness", replace(world.with_node(index, fed(node, answer)), faults=world.faults + 1)


def _booted(node: Node) -> Node:
    state = initial(node.state.settings, node.record)
    node = replace(node, state=state, is_on=True, is_saved=True, visible=None)
    node = saved(fed(node, ModuleOpened(incarnation=node.record.incarnation + 1)))
    return fed(node, CommandRequested(action=Action.START))


def _crashed(world: Snapshot, index: int) -> Snapshot:
    """The record and the disk stay. An unacknowledged write is taken to have reached the disk, its note with it."""
    node = world.nodes[index]
    copy = Copy(content=node.copy.content, dirty=node.copy.dirty | node.copy.pending)
    dead = replace(node, is_on=False, copy=copy, visible=None, state=initial(node.state.settings, node.record))
    return _broken(world.with_node(index, dead))


def _broken(world: Snapshot) -> Snapshot:
    """The replication connection is gone, with everything on its way."""
    nodes = tuple(replace(node, copy=_unlinked(node.copy)) for node in world.nodes)
    return replace(world, nodes=(nodes[0], nodes[1]), linked=False, wire=(), acks=())


def _unlinked(copy: Copy) -> Copy:
    broken = copy.session if copy.mode is ReplicationMode.PRIMARY else NO_SESSION
    return replace(copy, proposed=NO_SESSION, resyncing=False, broken=broken)


def _of_replication(world: Snapshot, index: int, writes_max: int) -> Iterator[Next]:
    node = world.nodes[index]
    name = f"node{index + 1}"
    if not node.is_on:
        return
    if node.is_saved:
        order = decide(node.state).replicate
        if order is not None and order != node.copy.order:
            yield f"{name} replication obeys {order.mode} {order.stance}", _obeyed(world, index, order)
    copy = node.copy
    if copy.is_writable and node.state.role in (Role.ALONE, Role.PRIM) and world.written < writes_max:
        yield f"{name} writes", _written(world, index)
    if copy.mode is ReplicationMode.PRIMARY:
        yield from _of_primary(world, index)
    elif copy.mode is ReplicationMode.SECONDARY and world.wire:
        yield f"{name} applies", _applied(world, index)


def _of_primary(world: Snapshot, index: int) -> Iterator[Next]:
    copy, other = world.nodes[index].copy, world.nodes[1 - index].copy
    name = f"node{index + 1}"
    if not world.linked and not world.is_cut and world.nodes[1 - index].is_on:
        linked = _linked(world, index)
        if linked is not None:
            yield f"{name} links", linked
    if world.acks:
        yield f"{name} acknowledged", _acknowledged(world, index)
    if copy.resyncing and other.mode is ReplicationMode.SECONDARY:
        yield f"{name} resync done", _resynced(world, index)
    order = copy.order
    drains = order is not None and order.stance is Stance.DRAIN and order.session == copy.session != NO_SESSION
    if drains and world.linked and not copy.pending and copy.drained != copy.session and not world.wire:
        drained = replace(copy, drained=copy.session)
        yield f"{name} drained", _with_copy(world, index, drained)


def _with_copy(world: Snapshot, index: int, copy: Copy) -> Snapshot:
    return world.with_node(index, replace(world.nodes[index], copy=copy))


def _obeyed(world: Snapshot, index: int, order: ReplicateDirectories) -> Snapshot:
    copy = world.nodes[index].copy
    before = copy.mode
    if order.mode is not before:
        if before is ReplicationMode.SECONDARY and order.mode is ReplicationMode.PRIMARY:
            for kind, value, _ in world.wire:
                if kind == "write" and isinstance(value, int):
                    copy = replace(copy, content=copy.content | {value})
        world = _broken(_with_copy(world, index, copy))
        kept = world.nodes[index].copy
        takes_over = before is ReplicationMode.SECONDARY and order.mode is ReplicationMode.PRIMARY
        copy = Copy(content=kept.content, dirty=kept.dirty | kept.pending, applied_all=takes_over)
    if order.mode is ReplicationMode.PRIMARY:
        world, copy = _stance(_with_copy(world, index, copy), index, order)
    return _with_copy(world, index, replace(copy, order=order))


def _stance(world: Snapshot, index: int, order: ReplicateDirectories) -> tuple[Snapshot, Copy]:
    copy = world.nodes[index].copy
    if order.stance is Stance.ALONE:
        if copy.session != NO_SESSION:
            world = _broken(world)
            copy = world.nodes[index].copy
        generation = world.nodes[index].record.generation
        promised = world.promised + tuple((write, generation) for write in sorted(copy.pending))
        alone = replace(copy, session=NO_SESSION, broken=NO_SESSION, drained=NO_SESSION, pending=NOTHING)
        return replace(world, promised=promised), alone
    if order.stance is Stance.IN_STEP and copy.session != order.session:
        if not world.linked or copy.proposed != order.session:
            world = _broken(world)
            return world, replace(world.nodes[index].copy, session=order.session, broken=order.session)
        marker = ("marker", order.session, copy.content)
        return replace(world, wire=(*world.wire, marker)), replace(copy, session=order.session, proposed=NO_SESSION)
    return world, copy


def _linked(world: Snapshot, index: int) -> Snapshot | None:
    copy, other = world.nodes[index].copy, world.nodes[1 - index].copy
    if other.mode is not ReplicationMode.SECONDARY or copy.order is None or other.order is None:
        return None
    if copy.order.epoch < other.order.fence_epoch:
        return None
    if copy.session != NO_SESSION:
        if other.session != copy.session:
            return None
        wire = tuple(("write", write, NOTHING) for write in sorted(copy.pending))
        return replace(_with_copy(world, index, replace(copy, broken=NO_SESSION)), linked=True, wire=wire, acks=())
    if copy.order.stance is not Stance.ALONE:
        return None
    world = _with_copy(world, index, replace(copy, resyncing=True))
    return replace(_with_copy(world, 1 - index, replace(other, session=NO_SESSION)), linked=True, wire=(), acks=())


def _resynced(world: Snapshot, index: int) -> Snapshot:
    """Everything that differs by the change journals has been copied; a session is proposed."""
    copy, other = world.nodes[index].copy, world.nodes[1 - index].copy
    assert copy.order is not None, "a primary has an order"
    assert other.order is not None, "a secondary has an order"
    full = not copy.order.base or not other.order.base
    differing = copy.content | other.content if full else copy.dirty | other.dirty
    equal = replace(
        other, content=(other.content - differing) | (copy.content & differing), dirty=other.dirty | differing
    )
    session = Session(f"session{world.sessions}")
    proposing = replace(copy, proposed=session, resyncing=False)
    world = _with_copy(_with_copy(world, index, proposing), 1 - index, equal)
    return replace(world, sessions=world.sessions + 1)


def _written(world: Snapshot, index: int) -> Snapshot:
    write = world.written
    copy = world.nodes[index].copy
    alone = copy.session == NO_SESSION
    after = replace(
        copy,
        content=copy.content | {write},
        dirty=copy.dirty | {write},
        pending=copy.pending if alone else copy.pending | {write},
    )
    generation = world.nodes[index].record.generation
    promised = (*world.promised, (write, generation)) if alone else world.promised
    wire = (*world.wire, ("write", write, NOTHING)) if world.linked and not copy.resyncing else world.wire
    return replace(_with_copy(world, index, after), written=write + 1, promised=promised, wire=wire)


def _applied(world: Snapshot, index: int) -> Snapshot:
    kind, value, expected = world.wire[0]
    copy = world.nodes[index].copy
    if kind == "marker" and not isinstance(value, int):
        if copy.content != expected:
            raise AssertionError("copies in step differ")
        copy = replace(copy, session=value, dirty=NOTHING)
    elif isinstance(value, int):
        dirty = copy.dirty if copy.session else copy.dirty | {value}
        copy = replace(copy, content=copy.content | {value}, dirty=dirty)
    return replace(_with_copy(world, index, copy), wire=world.wire[1:], acks=(*world.acks, (kind, value)))


def _acknowledged(world: Snapshot, index: int) -> Snapshot:
    kind, value = world.acks[0]
    copy = world.nodes[index].copy
    promised = world.promised
    if kind == "marker":
        copy = replace(copy, dirty=copy.pending)
    elif isinstance(value, int) and copy.session != NO_SESSION:
        if value in copy.pending:
            promised = (*promised, (value, world.nodes[index].record.generation))
        copy = replace(copy, pending=copy.pending - {value}, dirty=copy.dirty - {value})
    return replace(_with_copy(world, index, copy), acks=world.acks[1:], promised=promised)
