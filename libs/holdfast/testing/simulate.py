"""Simulate clusters under random faults: `python -m holdfast.testing.simulate --seed N [--count M] [--steps K]`.

Every run is made from its seed alone: the same seed replays the same run. On a broken invariant the seed and the story
that led there are printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.events.module import Action
from holdfast.events.state import Role
from holdfast.testing.judge import JudgeFactory, TimeoutJudge
from holdfast.testing.scheduler import NS_PER_S
from holdfast.testing.world import LANS, NODES, ViolationError, World, millis

STEPS_DEFAULT = 30
HEAL_S = 60
"""Bounded time: detection, a retry of a failed resync, the longest scripts of the model and several transitions."""
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


def simulate(seed: int, *, steps: int = STEPS_DEFAULT, judge_factory: JudgeFactory = TimeoutJudge) -> Outcome:
    """Run one seed: a cluster is set up, `steps` faults or commands happen, everything heals, the end is judged.

    Raises ViolationError on a broken invariant.
    """
    world = World(seed, judge_factory)
    _set_up(world)
    for _ in range(steps):
        _happen(world)
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
    )


def _set_up(world: World) -> None:
    """node1 is told to be primary, node2 joins: most runs begin in step."""
    for machine in world.machines:
        machine.power_on(start=False)
    world.network.loss_rate = world.random.choice((0.0, 0.0, 0.02, 0.1))
    world.network.double_rate = world.random.choice((0.0, 0.05))
    world.network.late_rate = world.random.choice((0.0, 0.05, 0.2))
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
    lan = world.random.choice(LANS)
    senders = world.random.choice(((0,), (1,), (0, 1)))
    world.tell(f"{lan} is cut for what nodes {senders} send")
    for sender in senders:
        world.cut(lan, sender, passes=False)


def _cut_all(world: World, index: int) -> None:
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
    world.command(index, action)
    if action in (Action.STOP, Action.FORCESTOP):
        world.scheduler.after(millis(world.random.randrange(10, 4000)), world.command, index, Action.START)


def _jump_clock(world: World, index: int) -> None:
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


def _happen(world: World) -> None:
    deed = world.random.choices(_DEEDS, _WEIGHTS)[0]
    deed(world, world.random.randrange(2))


def _heal(world: World) -> None:
    """All faults are over: within bounded time both nodes have to be in step, with nothing promised missing."""
    _heal_network(world, 0)
    world.tell("all faults are over")
    world.network.loss_rate = world.network.late_rate = world.network.double_rate = 0.0
    for index in (0, 1):
        _power_on(world, index)
    waited_s, why = 0, "not looked at"
    while waited_s < HEAL_S and why:
        world.run_for(NS_PER_S)
        waited_s += 1
        why = world.unsettled()
        _start_what_stopped(world)
    if why:
        world.fail(f"not healed after {HEAL_S} s: {why}")
    world.run_for(NS_PER_S)
    for index in (0, 1):
        world.check_promises(index, "at the end")


def _start_what_stopped(world: World) -> None:
    """A module that is stopped (by command, by maxloop) is a decision of an operator, who now starts it."""
    for index, machine in enumerate(world.machines):
        if machine.is_on and machine.shell.state.role is Role.STOP:
            world.command(index, Action.START)


def main(arguments: Sequence[str] | None = None, judge_factory: JudgeFactory = TimeoutJudge) -> int:
    """Run seeds and print one summary line, or the first violation with its seed and story; returns the exit code."""
    parser = argparse.ArgumentParser(prog="simulate", description="two-node clusters under random faults")
    parser.add_argument("--seed", type=int, default=None, help="first seed; the time when not given")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from the first on")
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT, help="faults and commands per run")
    given = parser.parse_args(arguments)
    first = int(time.time()) % 1_000_000 if given.seed is None else given.seed
    write = sys.stdout.write
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    for seed in range(first, first + given.count):
        try:
            outcomes.append(simulate(seed, steps=given.steps, judge_factory=judge_factory))
        except ViolationError as violation:
            write(f"{violation}\nreplay: --seed {seed} --steps {given.steps}\n")
            return 1
    took_s = time.perf_counter() - began
    virtual_s = sum(outcome.virtual_s for outcome in outcomes)
    write(
        f"simulate: ok seeds={first}..{first + given.count - 1} steps={given.steps} virtual_s={virtual_s:.0f} "
        f"changes={sum(o.changes for o in outcomes)} promises={sum(o.promises for o in outcomes)} "
        f"excused={sum(o.excused for o in outcomes)} speed={virtual_s / took_s:.0f}x\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
