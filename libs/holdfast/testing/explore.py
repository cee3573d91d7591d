"""Explore every interleaving of two nodes up to k faults: `python -m holdfast.testing.explore --faults K`.

Breadth first, so the shortest story of a violation is found. Two snapshots that differ only in names and counters
(incarnations, announcement numbers, session names) count as one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.invariants import broken_by, broken_by_pair
from holdfast.events.module import Action, CommandRequested, ModuleOpened, WitnessKind
from holdfast.events.state import Announcement, Role
from holdfast.testing.deeds import following
from holdfast.testing.snapshot import Copy, Node, Snapshot, fed, fresh, saved
from holdfast.testing.world import Variant

STATES_MAX_DEFAULT = 2_000_000


class FoundError(AssertionError):
    """A reachable state breaks an invariant; the message is the story that leads there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explored:
    """complete: every state within the limits was visited. deepest: deeds of the longest shortest story."""

    states: int
    deeds: int
    deepest: int
    complete: bool
    settled: int


def in_step(variant: Variant | None = None) -> Snapshot:
    """A mirror in step, built by the deeds themselves: node1 PRIM, node2 SECOND."""
    nodes = [saved(fed(fresh(index, variant), ModuleOpened(incarnation=1))) for index in (0, 1)]
    world = Snapshot(nodes=(nodes[0], nodes[1]))
    world = _quiet(world)
    world = world.with_node(0, fed(world.nodes[0], CommandRequested(action=Action.PRIM)))
    world = _quiet(world)
    world = world.with_node(1, fed(world.nodes[1], CommandRequested(action=Action.START)))
    world = _quiet(world)
    roles = [node.state.role for node in world.nodes]
    if roles != [Role.PRIM, Role.SECOND]:
        raise FoundError(f"a mirror does not come into step: {roles}")
    return world


def _quiet(world: Snapshot) -> Snapshot:
    """Let everything happen that happens by itself, in one order, until nothing is left; nobody writes."""
    for _ in range(1000):
        for name, after in following(world, faults=0):
            if "writes" not in name and "grace" not in name:
                world = after
                break
        else:
            return world
    raise FoundError("the cluster does not come to rest by itself")


def key_of(world: Snapshot) -> object:
    """What distinguishes snapshots, with names replaced by their order of appearance."""
    names: dict[str, int] = {}
    for node in world.nodes:
        for generation in reversed(node.record.lineage):
            names.setdefault(generation, len(names))
    for node in world.nodes:
        for generation in reversed(node.state.authority.lineage):
            names.setdefault(generation, len(names))
    base = min(node.record.epoch for node in world.nodes)
    nodes = tuple(_node_key(node, world.nodes[1 - index], names, base) for index, node in enumerate(world.nodes))
    wire = tuple(
        (kind, value if isinstance(value, int) else names.setdefault(value, len(names)), rest)
        for kind, value, rest in world.wire
    )
    acks = tuple((kind, value if isinstance(value, int) else 0) for kind, value in world.acks)
    promised = tuple((write, names.get(generation, -1)) for write, generation in world.promised)
    return (
        nodes,
        world.is_cut,
        world.was_cut,
        world.linked,
        wire,
        acks,
        world.written,
        promised,
        world.faults,
        world.commands,
        (world.lease.holder, world.lease.epoch - base, world.lease.acting),
    )


def _node_key(node: Node, other: Node, names: dict[str, int], base: int) -> object:
    def name(text: str) -> int:
        return names.setdefault(text, len(names)) if text else -1

    state, record = node.state, node.state.authority
    peer = state.peer
    said = peer.said
    claim_seen = said is not None and said.seen >= state.claim_number and said.seen_incarnation == record.incarnation
    core = (
        state.role,
        state.wish,
        state.forced,
        state.leaving,
        tuple(str(step) for step in state.steps),
        state.running is not None,
        tuple(sorted(state.groups)),
        state.data,
        state.promoting,
        state.claiming,
        state.claiming and claim_seen,
        name(state.renounced_session),
        name(state.handover_session),
        state.handover_is_swap,
        name(state.broken_session),
        bool(state.broken_since_mono_ns),
        state.blocked_by,
        bool(state.swap_requested_at_mono_ns),
        peer.presence,
        bool(state.step_since_mono_ns),
        bool(state.question),
        None if state.witness is None or not state.question else state.witness.question == state.question,
        None if state.witness is None else (state.witness.reachable, state.witness.granted),
    )
    reported = state.replication
    telling = (
        None
        if reported is None
        else (
            reported.mode,
            reported.epoch - base,
            reported.writable,
            reported.connected,
            name(reported.proposed_session),
            name(reported.in_step_session),
            name(reported.broken_session),
            name(reported.drained_session),
            reported.applied_all,
        )
    )
    return (
        node.is_on, node.is_saved, core, _record_key(node, names, base), _said_key(said, name, base),
        said == other.visible, _said_key(node.visible, name, base), telling, _copy_key(node.copy, name, base),
    )  # fmt: skip


def _record_key(node: Node, names: dict[str, int], base: int) -> object:
    return tuple(
        (
            record.epoch - base,
            tuple(names.get(g, -1) for g in record.lineage[:4]),
            record.took_over,
            record.role,
            record.copy,
            names.setdefault(record.in_step_session, len(names)) if record.in_step_session else -1,
        )
        for record in (node.record, node.state.authority)
    )


def _said_key(said: Announcement | None, name: object, base: int) -> object:
    if said is None:
        return None
    assert callable(name)
    return (
        said.role,
        said.status,
        said.epoch - base,
        tuple(name(g) for g in said.lineage[:4]),
        said.took_over,
        said.durable_role,
        said.copy,
        name(said.in_step_session),
        name(said.broken_session),
        name(said.renounced_session),
        name(said.handover_session),
        said.request,
    )


def _copy_key(copy: Copy, name: object, base: int) -> object:
    assert callable(name)
    order = copy.order
    ordered = (
        None
        if order is None
        else (
            order.mode,
            order.stance,
            order.epoch - base,
            name(order.session),
            bool(order.base),
            order.quarantine,
        )
    )
    return (
        copy.content,
        copy.dirty,
        copy.pending,
        ordered,
        name(copy.session),
        name(copy.broken),
        name(copy.proposed),
        name(copy.drained),
        copy.applied_all,
        copy.resyncing,
    )


def check(before: Snapshot, after: Snapshot, excused: bool) -> str:
    """The invariant that this step breaks, in words, or nothing."""
    for node in after.nodes:
        for what in broken_by(node.state) if node.is_on else ():
            return f"{node.state.settings.node} {what}"
    for what in broken_by_pair(*(node.state for node in after.nodes)):
        return what
    if sum(node.is_on and node.state.role is Role.ALONE for node in after.nodes) > 1 and not excused:
        return "both nodes are ALONE"
    holders: dict[str, set[int]] = {}
    for index, (old, new) in enumerate(zip(before.nodes, after.nodes, strict=True)):
        began = new.record != old.record and new.record.role is Role.ALONE and old.record.role is not Role.ALONE
        missing = {write for write, _ in after.promised} - new.copy.content
        if began and new.is_on and missing and not excused:
            return f"{new.state.settings.node} acts alone without promised writes {sorted(missing)}"
        if new.copy.is_writable and new.copy.session == "" and new.is_on:
            holders.setdefault("alone", set()).add(index)
    if len(holders.get("alone", ())) == 2 and not excused:
        return "both nodes may promise alone though they were never cut off"
    return ""


def explore(
    *,
    faults: int,
    commands: tuple[Action, ...] = (),
    writes_max: int = 1,
    states_max: int = STATES_MAX_DEFAULT,
    seconds_max: float = 1e9,
    variant: Variant | None = None,
) -> Explored:
    """Visit every state reachable from a mirror in step with at most `faults` faults and one of `commands`.

    With a lease witness a cut excuses nothing.
    """
    began = time.monotonic()
    first = in_step(variant)
    is_arbitrated = variant is not None and variant.is_arbitrated
    seen: dict[object, tuple[object, str] | None] = {key_of(first): None}
    queue: deque[tuple[Snapshot, object, int]] = deque([(first, key_of(first), 0)])
    deeds = deepest = settled = 0
    while queue:
        world, key, depth = queue.popleft()
        deepest = max(deepest, depth)
        settled += {node.state.role for node in world.nodes} == {Role.PRIM, Role.SECOND}
        for name, after in following(world, faults=faults, commands=commands, writes_max=writes_max):
            deeds += 1
            what = check(world, after, after.was_cut and not is_arbitrated)
            after_key = key_of(after)
            if what:
                raise FoundError("\n".join([*_story(seen, key), name, f"VIOLATION: {what}"]))
            if after_key not in seen:
                seen[after_key] = (key, name)
                queue.append((after, after_key, depth + 1))
        if len(seen) >= states_max or time.monotonic() - began > seconds_max:
            return Explored(states=len(seen), deeds=deeds, deepest=deepest, complete=False, settled=settled)
    return Explored(states=len(seen), deeds=deeds, deepest=deepest, complete=True, settled=settled)


def _story(seen: dict[object, tuple[object, str] | None], key: object) -> list[str]:
    names: list[str] = []
    step = seen[key]
    while step is not None:
        names.append(step[1])
        step = seen[step[0]]
    return names[::-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore and print one line, or the story of a violation."""
    parser = argparse.ArgumentParser(prog="explore", description="every interleaving of two nodes up to k faults")
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--command", action="append", default=[], choices=[str(action) for action in Action])
    parser.add_argument("--writes", type=int, default=1, help="writes of the application")
    parser.add_argument("--lease", action="store_true", help="with a witness that gives leases")
    parser.add_argument("--states", type=int, default=STATES_MAX_DEFAULT)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        found = explore(
            faults=given.faults,
            commands=tuple(Action(c) for c in given.command),
            states_max=given.states,
            writes_max=given.writes,
            variant=Variant(witness=WitnessKind.LEASE) if given.lease else None,
        )
    except FoundError as story:
        sys.stdout.write(f"{story}\n")
        return 1
    took_s = time.perf_counter() - began
    sys.stdout.write(
        f"explore: {'ok' if found.complete else 'not complete'} faults={given.faults} states={found.states} "
        f"deeds={found.deeds} depth={found.deepest} settled={found.settled} seconds={took_s:.1f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
