"""A simulated cluster of two nodes with everything around it, and the record of what was promised to applications."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from holdfast.core import ModuleSettings, ReplicationLink, State, explain
from holdfast.core.invariants import broken_by, broken_by_pair
from holdfast.core.rule import RuleSettings, own_rule
from holdfast.core.settings import WitnessSettings
from holdfast.events.module import Action, CommandRequested, HeartbeatLink, VirtualAddress, WitnessKind
from holdfast.events.replication import ReplicatedDirectory, ReplicationSettings
from holdfast.events.state import Copy, Role, Status
from holdfast.failover.ruleset import rule_set, rule_settings
from holdfast.ids import Generation, ModuleId, NodeId
from holdfast.testing.judge import JudgeFactory, TimeoutJudge
from holdfast.testing.machine import Machine
from holdfast.testing.network import Network
from holdfast.testing.replica import Replica
from holdfast.testing.scheduler import NS_PER_MS, NS_PER_S, Scheduler
from holdfast.testing.shell import WALL_NS
from holdfast.testing.witness import Witness

NODES = (NodeId("node1"), NodeId("node2"))
LANS = ("lan1", "lan2")
TRACE_MAX = 400
"""Lines of the story kept for a failure's report."""
SYNC_MARK_MS = 800
CLOCKS_APART_MS = 500
APART_NS = 6 * NS_PER_S
"""How long after a full cut two primaries may still be winding up: detection on both sides plus a loser's stop."""


RECENTLY_SYNCHRONISED = "start alone, recently synchronised"
"""The row of the transition table by which a node acts although it may lack data."""


class ViolationError(AssertionError):
    """An invariant does not hold; the message says which, when, and the story that led there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """A write that an application was told is durable: by which node, in which of its generations, and when."""

    node: int
    generation: Generation
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gamble:
    """A node that may have lacked data began to act alone by `syncdelta`: only what was promised between these instants
    may be missing ever after. The end is when the other node, had it acted alone too, would have known itself safe."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """What differs between the simulated modules."""

    replicated: bool = True
    defaultprim: str = "alone"
    witness: WitnessKind | None = None
    sync_delta_ms: int = 0

    @property
    def is_arbitrated(self) -> bool:
        """Does something atomic decide who acts alone? A lease does, for data that only one node may change."""
        return self.witness is WitnessKind.LEASE and self.replicated


def settings_of(index: int, variant: Variant | None = None) -> ModuleSettings:
    """The configuration of the simulated module on one node."""
    variant = variant or Variant()
    lan = f"10.0.0.{index + 1}", f"10.0.0.{2 - index}"
    directories = (ReplicatedDirectory(path="/data"),)
    link = ReplicationLink(
        settings=ReplicationSettings(directories=directories), local_address=lan[0], peer_address=lan[1], port=5600
    )
    return ModuleSettings(
        module=ModuleId("mirror"),
        node=NODES[index],
        peer=NODES[1 - index],
        defaultprim=variant.defaultprim,
        replication=link if variant.replicated else None,
        addresses=(VirtualAddress(address="10.0.0.100"),),
        rules=_rules(),
        witness=_witness(variant.witness),
        sync_delta_ms=variant.sync_delta_ms,
        sync_mark_ms=SYNC_MARK_MS,
        clocks_apart_ms=CLOCKS_APART_MS,
        heartbeat_links=tuple(
            HeartbeatLink(
                ident=name, lan=name, local_address=lan[0], peer_address=lan[1], pulse_ms=100, timeout_ms=1000
            )
            for name in LANS
        ),
    )


def _witness(kind: WitnessKind | None) -> WitnessSettings | None:
    if kind is None:
        return None
    return WitnessSettings(ident="third", kind=kind, targets=("10.0.9.1:4805",))


@cache
def _rules() -> RuleSettings:
    """The default rules, and that of the checker that scenarios speak of."""
    return rule_settings(rule_set(checkers=[own_rule("tcp.web", Action.RESTART)]))


class World:
    """Two nodes, their networks, the application's writes and the judge of all of it."""

    def __init__(
        self,
        seed: int,
        judge_factory: JudgeFactory = TimeoutJudge,
        random: Random | None = None,
        variant: Variant | None = None,
    ) -> None:
        self.seed = seed
        self.random = random or Random(seed)
        self.tell_change: Callable[[int, State, State], None] | None = None
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self.random, LANS)
        self.variant = variant or Variant()
        self.witness = Witness(self.scheduler, self.random)
        self.story: deque[str] = deque(maxlen=TRACE_MAX)
        self.promises: dict[int, Promise] = {}
        self.holder_of: dict[Generation, int] = {}
        self.excused: set[Generation] = set()
        """Generations begun while the nodes could not hear each other, or by an operator's word."""
        self.was_excused: set[int] = set()
        self.gambles: list[Gamble] = []
        self.was_gambled: set[int] = set()
        self.may_split = True
        self.may_force = True
        self.was_forced = False
        """Did an operator force a role while the other node was not stopped?"""
        self._forced_ns: dict[int, int] = {}
        self._forcestop_ns = -APART_NS
        self.changes = 0
        self.provoke: Callable[[int], None] | None = None
        """Called with a node's index at each of its changes: for faults at the very moments that matter."""
        self._writes = 0
        self.machines = tuple(
            Machine(
                index,
                settings_of(index, variant),
                self.scheduler,
                self.random,
                self.network,
                judge_factory,
                self,
                self.changed,
                self.next_write,
                self.witness,
            )
            for index in (0, 1)
        )
        for one, two in (self.machines, self.machines[::-1]):
            one.other = two
            one.replica.peer = two.replica

    # -- deeds ----------------------------------------------------------------------------------------------------

    def command(self, index: int, action: Action, argument: str = "") -> None:
        self.tell(f"{NODES[index]}: operator says {action} {argument}".rstrip())
        if action is Action.FORCESTOP:
            self._forcestop_ns = self.scheduler.now_ns
        if action is Action.PRIM:
            self._forced_ns[index] = self.scheduler.now_ns
            self.was_forced |= self._is_running(1 - index)
        self.machines[index].shell.feed(CommandRequested(action=action, argument=argument, who="operator"))

    def cut(self, lan: str, sender: int, *, passes: bool) -> None:
        self.network.change(lan, sender, passes=passes)
        for machine in self.machines:
            machine.replica.network_changed()

    def tell(self, line: str) -> None:
        self.story.append(f"{self.scheduler.now_ns / NS_PER_S:9.3f} s  {line}")

    def _is_running(self, index: int) -> bool:
        machine = self.machines[index]
        return machine.is_on and machine.shell.state.role is not Role.STOP

    def next_write(self) -> int:
        self._writes += 1
        return self._writes

    def run_for(self, span_ns: int) -> None:
        self.scheduler.run_until(self.scheduler.now_ns + span_ns)

    # -- the judge ------------------------------------------------------------------------------------------------

    def fail(self, what: str) -> None:
        """An invariant is broken: raise it with the story."""
        self.tell(f"VIOLATION: {what}")
        raise ViolationError(f"seed {self.seed}: {what}\n" + "\n".join(self.story))

    def acknowledged(self, node: int, write: int) -> None:
        """Invariant 1: one acknowledging node per generation."""
        generation = self.machines[node].shell.record.generation
        if self.holder_of.setdefault(generation, node) != node:
            self.fail(f"{NODES[node]} acknowledges in {generation}, which is the other node's")
        self.promises[write] = Promise(node=node, generation=generation, at_ns=self.scheduler.now_ns)
        other = self.machines[1 - node]
        both = other.replica.may_promise and self.machines[node].replica.may_promise
        if both and not self._may_be_apart() and not self._gambled_on_a_standstill():
            self.fail("both nodes acknowledge writes alone though they can hear each other")

    def equalised(self, primary: Replica, secondary: Replica, expected: frozenset[int]) -> None:
        """The marker of a session was applied: both copies have to be equal here, and nothing promised be missing."""
        if secondary.content != expected:
            missing, extra = sorted(expected - secondary.content)[:5], sorted(secondary.content - expected)[:5]
            self.fail(f"copies in step differ: missing {missing}, too much {extra} on {NODES[secondary.node]}")
        self.check_promises(secondary.node, "after a resync")

    def check_promises(self, index: int, when: str) -> None:
        """Invariant 3: everything promised is in this node's copy, save what a split brain's loser promised."""
        content = self.machines[index].replica.content
        lost = [write for write in self.promises.keys() - content if write not in self.was_excused]
        for write in sorted(lost):
            promise = self.promises[write]
            if any(gamble.from_ns <= promise.at_ns <= gamble.to_ns for gamble in self.gambles):
                self.was_gambled.add(write)
                continue
            if promise.generation not in self.excused:
                self.fail(
                    f"write {write}, promised by {NODES[promise.node]} in {promise.generation}, is lost on "
                    f"{NODES[index]} {when}"
                )
            self.was_excused.add(write)

    def changed(self, index: int, before: State, after: State) -> None:
        """One node's state machine has taken a step: check everything."""
        self.changes += 1
        if self.tell_change is not None:
            self.tell_change(index, before, after)
        if after.row != before.row or after.role is not before.role or after.status is not before.status:
            self.tell(
                f"{after.settings.node}: {before.role} {before.status} -> {after.role} {after.status} by "
                f"'{after.row}' ({explain.sentence(after)})"
            )
            if self.provoke is not None:
                self.provoke(index)
        if all(machine.application_runs for machine in self.machines) and not self._may_run_twice():
            self.fail("the application runs on both nodes though they can hear each other")
        for what in broken_by(after):
            self.fail(f"{after.settings.node} {what}")
        self._check_lease()
        if after.row == RECENTLY_SYNCHRONISED != before.row:
            self._gambled(index, before)
        if after.authority is not before.authority:
            self.tell(f"{after.settings.node}: record {_record(after)}")
            for what in broken_by_pair(*(machine.shell.state for machine in self.machines)):
                self.fail(what)
            self._generation_begun(index, before, after)

    def _gambled(self, index: int, before: State) -> None:
        """`syncdelta` was made use of: nothing older than it says may be lost, now or later."""
        from_ns = before.authority.synced_ms * NS_PER_MS - WALL_NS
        lasts_ns = self.machines[index].settings.sync_delta_ms * NS_PER_MS
        if not 0 <= self.scheduler.now_ns - from_ns <= lasts_ns + NS_PER_S:
            self.fail(f"{NODES[index]} begins alone by a mark that is too old")
        self.gambles.append(Gamble(from_ns=from_ns, to_ns=from_ns + lasts_ns + CLOCKS_APART_MS * NS_PER_MS + NS_PER_S))

    def _check_lease(self) -> None:
        """With a lease witness at most one node is ALONE, whatever is cut, until an operator forces a role."""
        if not self.variant.is_arbitrated or self.was_forced:
            return
        if all(machine.is_on and machine.shell.state.role is Role.ALONE for machine in self.machines):
            self.fail(f"both nodes are ALONE although a witness decides ({self.witness.lease})")

    def _generation_begun(self, index: int, before: State, after: State) -> None:
        if after.authority.role is not Role.ALONE or after.role is not Role.ALONE or before.role is Role.ALONE:
            return
        other = self.machines[1 - index]
        went_on = other.shell.record.role is Role.ALONE
        if went_on and self._may_be_apart() and not self.variant.is_arbitrated:
            self.excused |= {after.authority.generation, other.shell.record.generation}
        if self._is_forced(index, before):
            self.excused |= {g for g in self.holder_of if g not in after.authority.lineage}
            self.excused |= {other.shell.record.generation, after.authority.generation}
        self.check_promises(index, "when it begins to act alone")

    def _is_forced(self, index: int, before: State) -> bool:
        """Does this node act on an operator's word rather than by the rules?"""
        lately = self.scheduler.now_ns - self._forced_ns.get(index, -NS_PER_S) < NS_PER_S // 2
        return lately or before.forced.value.startswith("prim")

    def _may_be_apart(self) -> bool:
        return self.network.was_apart_within(APART_NS)

    def _gambled_on_a_standstill(self) -> bool:
        """With `syncdelta` a node that stands still counts as dead while it acts alone: the other one may begin."""
        since = self.scheduler.now_ns - APART_NS
        return bool(self.gambles) and any(machine.stalled_until_ns > max(since, 0) for machine in self.machines)

    def _may_run_twice(self) -> bool:
        """Only a full cut, a node that stood still, or forcestop (which does not wait) may have that effect."""
        since = self.scheduler.now_ns - APART_NS
        stood_still = any(machine.stalled_until_ns > max(since, 0) for machine in self.machines)
        return self._may_be_apart() or stood_still or self._forcestop_ns > since

    def _misplaced(self) -> str:
        """Is the application or an address anywhere but on the primary?"""
        for machine in self.machines:
            wanted = machine.shell.state.role is Role.PRIM
            if machine.application_runs is not wanted or machine.addresses_held is not wanted:
                return f"application or address is misplaced on {machine.settings.node}"
        return ""

    def unsettled(self) -> str:
        """Why the cluster has not healed; empty when both nodes are PRIM and SECOND Ready with equal copies."""
        if any(machine.is_stalled for machine in self.machines):
            return "a node stands still"
        states = [machine.shell.state for machine in self.machines]
        seen = sorted((state.role, state.status) for state in states)
        if seen == [(Role.PRIM, Status.READY), (Role.SECOND, Status.READY)]:
            return self._misplaced()
        if all(machine.is_on for machine in self.machines) and all(
            state.role is Role.WAIT and state.authority.copy is not Copy.UP_TO_DATE for state in states
        ):
            return "nobody has an up-to-date copy"
        return "; ".join(f"{s.settings.node} {s.role} {s.status}: {explain.sentence(s)}" for s in states)


def _record(state: State) -> str:
    record = state.authority
    lineage = ",".join(record.lineage[:3])
    session = record.in_step_session or "-"
    return f"epoch {record.epoch} {record.role} {record.copy} in step {session} lineage [{lineage}]"


def millis(count: int) -> int:
    return count * NS_PER_MS
