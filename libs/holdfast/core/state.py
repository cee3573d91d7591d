"""The whole of what the decider knows about one module on this node: one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from holdfast.core.authority import AuthorityRecord
from holdfast.core.condition import INIT
from holdfast.core.judging import Handling
from holdfast.core.loop import LoopCounter
from holdfast.core.peer import PRIMARY_ROLES, Peer
from holdfast.core.settings import ModuleSettings
from holdfast.events.module import Action, AddressesReported, WitnessReported
from holdfast.events.replication import ReplicationReported
from holdfast.events.state import Announcement, Copy, Role, Status
from holdfast.ids import NO_SESSION, Epoch, Session


class Wish(StrEnum):
    """Where somebody wants the module to go, until it is there. The value is the action word that scripts get."""

    NONE = ""
    START = "start"
    STOP = "stop"
    STOPSTART = "stopstart"
    WAIT = "stopwait"
    RESTART = "restart"
    SWAP = "swap"
    STEP_DOWN = "stepdown"
    ISOLATED = "isolated"


STOPPING = frozenset({Wish.STOP, Wish.STOPSTART, Wish.WAIT})
"""Wishes that take a running module out of its role, all scripts included."""
ENDING = frozenset({Wish.STOP, Wish.STOPSTART})
"""Wishes that lead to STOP."""


class Forced(StrEnum):
    """An operator's word on the role to start in."""

    NOT = ""
    PRIM = "prim"
    PRIM_ANYWAY = "prim force"
    SECOND = "second"


class Data(StrEnum):
    """The stance wanted of replication."""

    OFF = "off"
    SECONDARY = "secondary"
    APPLY = "apply"
    """A secondary about to take over: no more of the old primary's stream, apply all that was received."""
    ALONE = "alone"
    IN_STEP = "in step"
    DRAIN = "drain"
    FENCED = "fenced"
    """A primary that lost its secondary and may not go on without it: read-only, and nobody's secondary."""


class StepKind(StrEnum):
    """What a transition does or waits for, one after the other. Each is begun again harmlessly after a crash."""

    SCRIPT = "run script"
    WRITABLE = "directories are writable"
    ADDRESSES = "addresses are held"
    RELEASE = "addresses are released"
    DRAIN = "replication is drained"
    REPLICATION_OFF = "replication is off"
    PEER_GOES_ON = "the primary goes on alone"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """The transition under way as scripts are told: current state, next state, action, and services when a restart is
    about some of them only."""

    current: Role = Role.STOP
    next: Role = Role.STOP
    action: str = ""
    services: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step. group: what the script starts or stops (`prim` of `start_prim`). change: the transition that it
    belongs to, known once its row has fired."""

    kind: StepKind
    script: str = ""
    force: bool = False
    change: Change | None = None

    @property
    def group(self) -> str:
        head, _, tail = self.script.partition("_")
        return tail if head in ("start", "stop") else ""

    def __str__(self) -> str:
        if self.kind is not StepKind.SCRIPT:
            return f"[{self.kind}]"
        return f"{self.script} force" if self.force else self.script


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptRun:
    """The script run under way. run: unique, and stable over a restart of the state machine."""

    run: str
    step: Step
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerRun:
    """A handler for a resource that is down. ended_at_mono_ns: 0 while it runs. exit_code: once it has ended."""

    run: str
    resource: str
    script: str
    ended_at_mono_ns: int = 0
    exit_code: int = 0

    @property
    def is_over(self) -> bool:
        return self.ended_at_mono_ns != 0

    @property
    def has_failed(self) -> bool:
        return self.is_over and self.exit_code != 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A named value `class.id` as last assigned. action: what its going down asks for, if it has one of its own."""

    value: str
    by: str
    action: str = ""


ROLE_CLASSES = frozenset({"pre", "both", "prim", "second", "sec"})
"""Classes of processes that follow the scripts; any other is the module's own, switched on and off by command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switches:
    """What an administrator (or a script) has switched on. changed_classes: the classes of processes that were
    switched from what they are otherwise, by name: those of the scripts on, private ones off. full_resync: the next
    resynchronisation copies everything."""

    failover: bool = True
    checker: bool = True
    errd: bool = True
    changed_classes: tuple[str, ...] = ()
    full_resync: bool = False

    def is_class_on(self, name: str) -> bool:
        """Are the processes of this class to be watched when its time has come?"""
        return self.errd and (name in ROLE_CLASSES) != (name in self.changed_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The command with this envelope id was not accepted, and why, in words."""

    command: str
    action: Action
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """One module on one node. Written by `evolve` only.

    steps: still to do in the present transition; running: the script that runs. groups: the script groups that have
    been started and not stopped (`both`, `prim`, `second`, `sec`). leaving: the stop scripts of the role are being run.
    handlers: the last run for each resource that is down and has a handler; at most one of them is under way.
    restart_services: what the restart that is wished for is about, empty for everything.
    handling: what the rules have asked for and since when, for modules that want an action to last before it is taken.
    blocked_by: why WAIT stays ("" when nothing stands in the way of starting), until blocked_resource is no longer
    down, blocked_until_mono_ns has come, or somebody says wakeup. claim_number: number of the announcement
    with which this node claimed to start as primary, 0 when it claims nothing. refusal: of the event just folded.
    application: the run that last started it (`start_both` or `start_prim`), so that others see a restart.
    question: names what the witness is being asked, "" while nothing is; questions: how many were asked in this
    incarnation. witness: its last answer.
    asked_by: the rule (and why it holds) whose action is under way; "" when it is nobody's or an operator's.
    """

    settings: ModuleSettings
    authority: AuthorityRecord
    role: Role = Role.STOP
    wish: Wish = Wish.NONE
    forced: Forced = Forced.NOT
    full: bool = False
    leaving: bool = False
    forget_scripts: bool = False
    steps: tuple[Step, ...] = ()
    step_since_mono_ns: int = 0
    running: ScriptRun | None = None
    run_counter: int = 0
    application: str = ""
    groups: frozenset[str] = frozenset()
    handlers: tuple[HandlerRun, ...] = ()
    restart_services: str = ""
    data: Data = Data.OFF
    addresses_wanted: bool = False
    promoting: bool = False
    swap_requested_at_mono_ns: int = 0
    claiming: bool = False
    claim_number: int = 0
    session_counter: int = 0
    renounced_session: Session = NO_SESSION
    handover_session: Session = NO_SESSION
    handover_is_swap: bool = False
    broken_session: Session = NO_SESSION
    broken_since_mono_ns: int = 0
    blocked_by: str = ""
    blocked_resource: str = ""
    blocked_until_mono_ns: int = 0
    question: str = ""
    questions: int = 0
    question_since_mono_ns: int = 0
    witness: WitnessReported | None = None
    peer: Peer = field(default_factory=Peer)
    addresses: AddressesReported | None = None
    replication: ReplicationReported | None = None
    resources: Mapping[str, Resource] = field(default_factory=lambda: MappingProxyType({}))
    switches: Switches = field(default_factory=Switches)
    handling: Handling = field(default_factory=Handling)
    loop: LoopCounter = field(default_factory=LoopCounter)
    stopped_by_maxloop: bool = False
    reboots: int = 0
    """Automatic stopstarts of this incarnation that are to reboot the node."""
    now_mono_ns: int = 0
    now_wall_ns: int = 0
    row: str = ""
    reason: str = "never started"
    because: str = ""
    asked_by: str = ""
    trace: str = ""
    refusal: Refusal | None = None
    announcement: Announcement = field(
        default_factory=lambda: Announcement(
            incarnation=0, number=0, role=Role.STOP, status=Status.NOT_READY, epoch=Epoch(0)
        )
    )

    @property
    def is_replicated(self) -> bool:
        return self.settings.replication is not None

    @property
    def is_primary(self) -> bool:
        return self.role in PRIMARY_ROLES

    @property
    def is_idle(self) -> bool:
        """No step of a transition is pending and no script runs."""
        return not self.steps and self.running is None

    def unblocked(self) -> State:
        """The state with nothing that keeps it in WAIT."""
        return replace(self, blocked_by="", blocked_resource="", blocked_until_mono_ns=0)

    @property
    def undecided_resource(self) -> str:
        """A resource that a wait rule uses and of which nothing is known yet: until then the module stays in WAIT."""
        if not self.switches.checker:
            return ""
        for watch in self.settings.watches.pre.checks:
            known = self.resources.get(watch.resource)
            is_open = known is None or known.value == INIT
            if is_open and self.settings.rules.waits_for(watch.resource, Action(watch.action)):
                return watch.resource
        return ""

    @property
    def is_in_step(self) -> bool:
        return self.authority.in_step_session != NO_SESSION

    @property
    def status(self) -> Status:
        """The second half of what operators see."""
        match self.role:
            case Role.STOP:
                return Status.NOT_READY if self.is_idle and self.wish is Wish.NONE else Status.TRANSIENT
            case Role.WAIT:
                return self._status_of_wait()
            case Role.SECOND:
                settled = self.is_idle and not self.leaving and not self.promoting
                in_step = self.is_in_step and self.authority.copy is Copy.UP_TO_DATE and not self.question
                return Status.READY if settled and in_step else Status.TRANSIENT
            case _:
                return Status.READY if self.is_idle and not self.leaving else Status.TRANSIENT

    def _status_of_wait(self) -> Status:
        if not self.is_idle or self.wish is not Wish.NONE or self.claiming or self.handover_is_swap:
            return Status.TRANSIENT
        if not self.blocked_by and self.undecided_resource:
            return Status.TRANSIENT
        if self.blocked_by or self.peer.presence != "unknown":
            return Status.NOT_READY
        return Status.TRANSIENT
