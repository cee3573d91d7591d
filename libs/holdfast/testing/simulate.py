"""Simulate clusters under random faults: `python -m holdfast.testing.simulate --seed N [--count M] [--steps K]`.

Every run is made from its seed alone: the same seed replays the same run. On a broken invariant the seed and the story
that led there are printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from holdfast.errors import InvariantError
from holdfast.events.module import Action, WitnessKind
from holdfast.events.state import Copy, Role
from holdfast.testing.judge import JudgeFactory, TimeoutJudge
from holdfast.testing.scheduler import NS_PER_S
from holdfast.testing.world import LANS, NODES, Variant, ViolationError, World, millis

STEPS_DEFAULT = 30
HEAL_S = 60
"""Bounded time: detection, a retry of a failed resync, the longest scripts of the model and several transitions."""
CALM_S = 3
"""A settled cluster has to stay so for longer than a heartbeat timeout."""
REPLICATED_RATE = 0.85
PRIM_RATE = 0.05
PROVOKE_RATE = 0.04
TURNS_RATE = 0.12
GAP_MS_MAX = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one run did. virtual_s: simulated seconds; changes: steps of the two state machines."""

    seed: int
    virtual_s: float
    changes: int
    promises: int
    excused: int
    events: int
    gambles: int = 0
    gambled: int = 0


def simulate(
    seed: int,
    *,
    steps: int = STEPS_DEFAULT,
    judge_factory: JudgeFactory = TimeoutJudge,
    split: bool = True,
    witness: WitnessKind | None = None,
    sync_delta_ms: int = 0,
) -> Outcome:
    """Run one seed: a cluster is set up, `steps` faults or commands happen, everything heals, the end is judged.

    Without `split` one network always passes and no operator forces a role: then nothing promised may ever be missing.
    With a lease witness no operator forces a role either, and nothing promised may ever be missing whatever is cut.
    With `sync_delta_ms` what is missing may only be what was promised within that time of the last synchronisation by
    which a node began alone; wall clocks do not jump then, for that is what `syncdelta` depends on.
    Raises ViolationError on a broken invariant.
    """
    variant = replace(variant_of(seed), witness=witness, sync_delta_ms=sync_delta_ms)
    world = World(seed, judge_factory, variant=variant)
    world.may_split = split
    world.may_force = split and witness is not WitnessKind.LEASE
    _set_up(world)
    world.provoke = lambda index: _provoke(world, index)
    for _ in range(steps):
        _happen(world)
        if witness is not None:
            _happen_to_witness(world)
        if sync_delta_ms and world.random.random() < TURNS_RATE:
            world.random.choice((_act_in_turns, _act_in_turns, _die_after_standstill))(world)
        world.run_for(
            millis(world.random.choice((5, 50, 300, 1200, GAP_MS_MAX)) * world.random.randrange(20, 100) // 100)
        )
    _heal(world)
    return Outcome(
        seed=seed,
        virtual_s=world.scheduler.now_ns / NS_PER_S,
        changes=world.changes,
        promises=len(world.promises),
        excused=len(world.was_excused),
        events=world.scheduler.done,
        gambles=len(world.gambles),
        gambled=len(world.was_gambled),
    )


def variant_of(seed: int) -> Variant:
    """Most seeds simulate the module with its defaults; some without replication, some with a preferred primary."""
    random = Random(seed)
    return Variant(
        replicated=random.random() < REPLICATED_RATE,
        defaultprim=random.choice(("alone", "alone", "alone", "lastprim", str(NODES[0]))),
    )


def _set_up(world: World) -> None:
    """node1 is told to be primary, node2 joins: most runs begin in step."""
    for machine in world.machines:
        machine.power_on(start=False)
    world.network.loss_rate = world.random.choice((0.0, 0.0, 0.02, 0.1))
    world.network.double_rate = world.random.choice((0.0, 0.05))
    world.network.late_rate = world.random.choice((0.0, 0.05, 0.2))
    copy_turn_ns = millis(world.random.choice((2, 20, 150)))
    for machine in world.machines:
        machine.replica.copy_turn_ns = copy_turn_ns
    world.run_for(millis(1500))
    world.command(0, Action.PRIM)
    world.run_for(millis(500))
    world.command(1, Action.START)
    world.run_for(millis(world.random.randrange(0, 4000)))


def _crash(world: World, index: int) -> None:
    world.tell(f"{NODES[index]}: power is lost")
    world.machines[index].crash()


def _power_on(world: World, index: int) -> None:
    if not world.machines[index].is_on:
        world.tell(f"{NODES[index]}: power is back")
        world.machines[index].power_on(start=world.random.random() < 0.9)


def _reboot(world: World, index: int) -> None:
    _crash(world, index)
    world.scheduler.after(millis(world.random.randrange(50, 3000)), _power_on, world, index)


def _stall(world: World, index: int) -> None:
    duration = world.random.choice((200, 900, 1500, 5000))
    world.tell(f"{NODES[index]}: everything stands still for {duration} ms")
    world.machines[index].stall(millis(duration))


def _kill_service(world: World, index: int) -> None:
    service = world.random.choice(("statemachine", "heartbeat", "rfs", "vip", "scripts"))
    world.tell(f"{NODES[index]}: {service} is killed")
    world.machines[index].kill_service(service)


def _cut_some(world: World, index: int) -> None:
    lan = world.random.choice(LANS) if world.may_split else LANS[world.seed % 2]
    senders = world.random.choice(((0,), (1,), (0, 1)))
    world.tell(f"{lan} is cut for what nodes {senders} send")
    for sender in senders:
        world.cut(lan, sender, passes=False)


def _cut_all(world: World, index: int) -> None:
    if not world.may_split:
        return
    senders = world.random.choice(((index,), (0, 1), (0, 1)))
    world.tell(f"all networks are cut for what nodes {senders} send")
    for lan in LANS:
        for sender in senders:
            world.cut(lan, sender, passes=False)


def _heal_network(world: World, index: int) -> None:
    if world.network.cut:
        world.tell("all networks are whole")
    for lan in LANS:
        for sender in (0, 1):
            world.cut(lan, sender, passes=True)


def _operate(world: World, index: int) -> None:
    action = world.random.choice(
        (Action.SWAP, Action.SWAP, Action.STOP, Action.START, Action.RESTART, Action.STOPSTART, Action.FORCESTOP)
    )
    if world.may_force and world.random.random() < PRIM_RATE:
        action = Action.PRIM
    world.command(index, action)
    if action in (Action.STOP, Action.FORCESTOP):
        world.scheduler.after(millis(world.random.randrange(10, 4000)), world.command, index, Action.START)


def _jump_clock(world: World, index: int) -> None:
    if world.variant.sync_delta_ms:
        return
    world.tell(f"{NODES[index]}: the wall clock jumps by an hour")
    world.machines[index].shell.wall_offset_ns += world.random.choice((-1, 1)) * 3600 * NS_PER_S


def _resource(world: World, index: int) -> None:
    action = world.random.choice(("restart", "stopstart"))
    world.tell(f"{NODES[index]}: a resource goes down, asking for {action}")
    world.machines[index].resource_goes_down("custom.application", action)


HAPPENINGS: tuple[tuple[int, Callable[[World, int], None]], ...] = (
    (4, _crash),
    (10, _power_on),
    (8, _reboot),
    (5, _stall),
    (8, _kill_service),
    (6, _cut_some),
    (2, _cut_all),
    (8, _heal_network),
    (10, _operate),
    (1, _jump_clock),
    (2, _resource),
)
_WEIGHTS = tuple(weight for weight, _ in HAPPENINGS)
_DEEDS = tuple(deed for _, deed in HAPPENINGS)


def _happen_to_witness(world: World) -> None:
    """Now and then it goes, comes back, is cut off from a node, or hears late; or a checker of it is killed; or all
    networks but those to it are cut for long enough that both nodes ask."""
    witness, random = world.witness, world.random
    index = random.randrange(2)
    match random.choice(WITNESS_DEEDS):
        case "goes":
            witness.is_up = False
        case "comes":
            witness.is_up = True
        case "cut":
            witness.unreachable.add(index)
        case "heal":
            witness.unreachable.clear()
        case "late":
            witness.late_rate = random.choice((0.0, 0.2, 0.5))
        case "checker":
            world.machines[index].kill_service("checker-splitbrain")
        case "split" if world.may_split:
            _cut_all(world, index)
            world.run_for(millis(random.randrange(1000, 3000)))
        case _:
            return
    world.tell(f"witness: up {witness.is_up}, unreachable for {sorted(witness.unreachable)}, late {witness.late_rate}")


WITNESS_DEEDS = (
    *("nothing",) * 12,
    *("comes", "comes", "comes", "heal", "heal", "heal"),
    *("goes", "cut", "late", "checker", "split", "split"),
)


def _act_in_turns(world: World) -> None:
    """Both lose power; then one after the other comes back for a while and loses it again, without meeting."""
    random, delta_ms = world.random, world.variant.sync_delta_ms
    index = random.randrange(2)
    _crash(world, 1 - index)
    world.run_for(millis(random.randrange(1, delta_ms)))
    _crash(world, index)
    for _ in range(random.randrange(1, 4)):
        index = 1 - index
        world.run_for(millis(random.randrange(1, delta_ms // 4)))
        _power_on(world, index)
        world.run_for(millis(random.randrange(delta_ms // 3, 2 * delta_ms)))
        _crash(world, index)
    for each in random.sample((0, 1), 2):
        _power_on(world, each)
        world.run_for(millis(random.randrange(1, 1000)))


def _die_after_standstill(world: World) -> None:
    """A node stands still until the other one has taken over, loses power as it goes on, and comes back alone."""
    random, delta_ms = world.random, world.variant.sync_delta_ms
    index = random.randrange(2)
    world.tell(f"{NODES[index]}: everything stands still, then power is lost")
    span_ms = random.randrange(delta_ms // 2, 2 * delta_ms)
    world.machines[index].stall(millis(span_ms))
    world.run_for(millis(span_ms) + random.randrange(millis(20)))
    _crash(world, index)
    _crash(world, 1 - index)
    _power_on(world, index)
    world.run_for(millis(random.randrange(1200, 3000)))


def _provoke(world: World, index: int) -> None:
    """Something has just changed on this node: now and then a fault hits it, or the other node, within milliseconds."""
    if world.random.random() >= PROVOKE_RATE:
        return
    target = world.random.choice((index, 1 - index))
    deed = world.random.choice((_reboot, _reboot, _kill_service, _stall, _cut_some))
    world.scheduler.after(world.random.randrange(1, millis(40)), _provoked, world, deed, target)


def _provoked(world: World, deed: Callable[[World, int], None], target: int) -> None:
    """Do it, unless all faults are over by now."""
    if world.provoke is not None:
        deed(world, target)


def _happen(world: World) -> None:
    deed = world.random.choices(_DEEDS, _WEIGHTS)[0]
    deed(world, world.random.randrange(2))


def _heal(world: World) -> None:
    """All faults are over: within bounded time both nodes have to be in step, with nothing promised missing."""
    world.provoke = None
    _heal_network(world, 0)
    world.tell("all faults are over")
    world.network.loss_rate = world.network.late_rate = world.network.double_rate = 0.0
    world.witness.is_up, world.witness.late_rate = True, 0.0
    world.witness.unreachable.clear()
    for index in (0, 1):
        _power_on(world, index)
    calm_s, why = 0, "not looked at"
    for _ in range(HEAL_S):
        world.run_for(NS_PER_S)
        why = world.unsettled()
        calm_s = 0 if why else calm_s + 1
        if calm_s == CALM_S:
            break
        _decide_as_operator(world)
    if why:
        world.fail(f"not healed after {HEAL_S} s: {why}")
    world.run_for(NS_PER_S)
    for index in (0, 1):
        world.check_promises(index, "at the end")


def _decide_as_operator(world: World) -> None:
    """What only an operator can decide: a stopped module is started; a first copy is chosen if that word was lost."""
    states = [machine.shell.state for machine in world.machines]
    for index, machine in enumerate(world.machines):
        if machine.is_on and machine.shell.state.role is Role.STOP:
            world.command(index, Action.START)
    if all(state.role is Role.WAIT and state.authority.copy is Copy.UNKNOWN for state in states):
        world.command(0, Action.PRIM)


JUDGES = {"shipped": "services.heartbeat.judge:DetectorJudge", "timeout": "holdfast.testing.judge:TimeoutJudge"}
"""Failure detectors by name. The shipped one belongs to a service, so it is named by text: libs import no service."""


def judge_named(name: str) -> JudgeFactory:
    """Return the detector of that name; raises KeyError when there is none."""
    module, _, attribute = JUDGES[name].partition(":")
    factory: JudgeFactory = getattr(importlib.import_module(module), attribute)
    return factory


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulate", description="two-node clusters under random faults")
    parser.add_argument("--seed", type=int, default=None, help="first seed; the time when not given")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from the first on")
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT, help="faults and commands per run")
    parser.add_argument("--no-split", action="store_true", help="one network always passes, no role is forced")
    parser.add_argument("--witness", choices=[str(kind) for kind in WitnessKind], help="with a witness of this kind")
    parser.add_argument("--sync-delta-ms", type=int, default=0, help="syncdelta of the module")
    parser.add_argument("--judge", choices=sorted(JUDGES), default="shipped", help="the failure detector")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run seeds and print one summary line, or the first violation with its seed and story; returns the exit code."""
    given = _parser().parse_args(arguments)
    judge = judge_named(given.judge)
    witness = WitnessKind(given.witness) if given.witness else None
    first = int(time.time()) % 1_000_000 if given.seed is None else given.seed
    write = sys.stdout.write
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    for seed in range(first, first + given.count):
        try:
            outcomes.append(
                simulate(
                    seed,
                    steps=given.steps,
                    judge_factory=judge,
                    split=not given.no_split,
                    witness=witness,
                    sync_delta_ms=given.sync_delta_ms,
                )
            )
        except (ViolationError, InvariantError) as violation:
            split = " --no-split" if given.no_split else ""
            split += f" --witness {witness}" if witness is not None else ""
            split += f" --sync-delta-ms {given.sync_delta_ms}" if given.sync_delta_ms else ""
            write(f"{violation}\nreplay: --seed {seed} --steps {given.steps} --judge {given.judge}{split}\n")
            return 1
    summary = _summary(outcomes, first, given.steps, time.perf_counter() - began)
    words = " ".join(f"{name}={value}" for name, value in summary.items())
    write(f"{json.dumps(summary) if given.json else f'simulate: ok {words}'}\n")
    return 0


def _summary(outcomes: Sequence[Outcome], first: int, steps: int, took_s: float) -> dict[str, int | str]:
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    return {
        "seeds": f"{first}..{first + len(outcomes) - 1}",
        "steps": steps,
        "virtual_s": round(virtual_s),
        "changes": sum(outcome.changes for outcome in outcomes),
        "promises": sum(outcome.promises for outcome in outcomes),
        "excused": sum(outcome.excused for outcome in outcomes),
        "gambles": sum(outcome.gambles for outcome in outcomes),
        "gambled": sum(outcome.gambled for outcome in outcomes),
        "times_real_time": round(virtual_s / took_s),
    }


if __name__ == "__main__":
    sys.exit(main())
