"""Facts that a module's state machine folds, and the orders it gives to the services around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.events.state import Announcement


class Action(StrEnum):
    """What an operator, a checker or a rule may ask of a module."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STOPSTART = "stopstart"
    SWAP = "swap"
    PRIM = "prim"
    SECOND = "second"
    FORCESTOP = "forcestop"
    WAIT = "wait"
    WAKEUP = "wakeup"
    NOACTION = "noaction"


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRequested:
    """Somebody asks for an action. identity: empty for an operator; a checker's or script's name counts against
    maxloop.

    argument: "" | "fullsync" | "nosync". who: for the log, e.g. "root" or "checker tcp.web".
    """

    action: Action
    argument: str = ""
    identity: str = ""
    who: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopCounted:
    """A handler or script of the module counted an action of its own against maxloop, or one from before a reboot is
    counted again. by: its name. ago_ms: how long ago that was."""

    by: str
    ago_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RebootOrdered:
    """The node is about to be rebooted by this command because of the module; with a problem, it could not be."""

    command: str
    reason: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopReset:
    """Somebody said that what happened before does not count against maxloop."""

    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingChanged:
    """An administrator switched something on or off. setting: failover, checker, errd, `errd.CLASS` (the processes of
    one class), or rfssync (the next resynchronisation copies everything)."""

    setting: str
    value: bool
    who: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationApplied:
    """A validated configuration came into force: all that the decider's settings follow from.

    text is the expanded XML, signature its SHA-256, number the module's (its ports follow from it).
    addresses: what the host names in both texts meant when it was applied.
    """

    signature: str
    text: str
    cluster_text: str
    number: int = 1
    key_file: str = ""
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationRemoved:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleOpened:
    """The state machine began (or resumed) to run this module with this durable incarnation number."""

    incarnation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerFired:
    """The instant that the state machine asked for (`Orders.wake_at_mono_ns`) has come; its time is the envelope's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStarted:
    """A service (re)started and knows nothing: repeat your orders to it."""

    service: str
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptFinished:
    """A script run ended. exit_code 0..255, 128+n when killed by signal n, -1 when it could not be started."""

    run: str
    script: str
    exit_code: int
    duration_ms: float
    timed_out: bool
    log: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressesReported:
    """The virtual addresses as observed on this node. present and conflicts: address texts."""

    held: bool
    present: tuple[str, ...]
    conflicts: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceReported:
    """A checker's or a script's verdict on a resource `class.id`: "up", "down", "init", or any text."""

    resource: str
    value: str
    by: str
    action: str = ""
    """The action configured for going down (restart, stopstart, stop, wait, noaction), for resources with one of
    their own.
    """
    told: bool = True
    """False: the module's log leaves it out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WitnessReported:
    """What the witness is known to say. reachable: it has answered lately. question: the one that this answers, empty
    when none was asked. granted: this node may act without the other one. why: in words, when it may not.
    """

    ident: str
    reachable: bool
    question: str = ""
    granted: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnounceState:
    """Order to heartbeat: carry this in every beat; send one at once."""

    announcement: Announcement
    peer: str
    port: int
    pulse_ms: int
    timeout_ms: int
    links: tuple[HeartbeatLink, ...]
    key_file: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeartbeatLink:
    ident: str
    lan: str
    local_address: str
    peer_address: str
    pulse_ms: int
    timeout_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualAddress:
    """address/prefix (0: that of the interface's own network); interface empty: the one whose network it is in."""

    address: str
    prefix: int = 0
    interface: str = ""
    primary_address: bool = False
    """`where="one_side"`: becomes the preferred source address of the interface."""
    announce_interval_s: int = 60
    announce_for_s: int = 1200
    announce_repeatedly: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldAddresses:
    """Order to vip: hold exactly these addresses (none: let go). reset_connections: reset TCP of an address before
    removal.
    """

    addresses: tuple[VirtualAddress, ...]
    held: bool
    reset_connections: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class RunScript:
    """Order to scripts: run this once; the same run id again only repeats the result.

    script: name in the module's bin; a missing script counts as finished with exit code 0.
    """

    run: str
    script: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    timeout_ms: int
    log_bytes_max: int
    host_name: str = ""
    """The module's virtual host name: the script gets a UTS namespace of its own. Empty: there is none."""
    has_host_name: bool = False
    """The script has that name from its start; else from where it sources the module's envfile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetScripts:
    """Order to scripts (forcestop): end running scripts of the module with their process groups."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessWatch:
    name: str
    name_regex: str = ""
    argument_regex: str = ""
    at_least: int = 1
    at_most: int = -1
    action: str = "stopstart"
    start_after_s: int = 0
    poll_interval_ms: int = 30_000
    unit: bool = False
    """Watch a systemd unit of this name instead of processes."""

    @property
    def resource(self) -> str:
        return f"proc.{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TcpWatch:
    ident: str
    address: str
    port: int
    interval_ms: int = 10_000
    timeout_ms: int = 5_000
    action: str = "restart"

    @property
    def resource(self) -> str:
        return f"tcp.{self.ident}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PingWatch:
    """address: IPv4, IPv6, or a host name that the checker looks up."""

    ident: str
    address: str
    interval_ms: int = 10_000
    timeout_ms: int = 5_000
    action: str = "wait"

    @property
    def resource(self) -> str:
        return f"ping.{self.ident}"


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceWatch:
    """interface: by name; empty: the one that has `address`, or else whose network holds it."""

    ident: str
    interface: str = ""
    address: str = ""
    action: str = "wait"

    @property
    def resource(self) -> str:
        return f"intf.{self.ident}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressWatch:
    """That this node, and nobody else, has an address."""

    ident: str
    address: str
    interval_ms: int = 10_000
    action: str = "stopstart"

    @property
    def resource(self) -> str:
        return f"ip.{self.ident}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomWatch:
    """The module's own checker. program: absolute, or relative to the module's bin. environment: names and values of
    the module's user variables.
    """

    ident: str
    program: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    action: str = "noaction"

    @property
    def resource(self) -> str:
        return f"custom.{self.ident}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleWatch:
    """That another module serves: on this node (address empty), or wherever a gateway answers at address and port.

    key: second half of the resource's name. secure: HTTPS.
    """

    key: str
    name: str
    address: str = ""
    port: int = 0
    interval_ms: int = 10_000
    timeout_ms: int = 5_000
    secure: bool = False
    action: str = "wait"

    @property
    def resource(self) -> str:
        return f"module.{self.key}"


class WitnessKind(StrEnum):
    """How a witness is asked: by echo requests, or for a lease that only one node gets."""

    PING = "ping"
    LEASE = "lease"


@dataclass(frozen=True, kw_only=True, slots=True)
class WitnessWatch:
    """The witness, what this node is, and what it asks, to be told to the witness until another order replaces it.

    targets: addresses to ping, of which one must answer, or one `address:port` of a lease witness. question: names the
    one question that the answer is for; empty while nothing is asked. epoch: of this node's record; in_step: it says
    that the other node has the same data. acting: this node is ALONE. replicated: who acts has data that the other one
    lacks. key_file authenticates it.
    """

    ident: str
    kind: WitnessKind
    targets: tuple[str, ...]
    question: str = ""
    epoch: int = 0
    in_step: bool = False
    acting: bool = False
    replicated: bool = True
    key_file: str = ""


AnyWatch = ProcessWatch | TcpWatch | PingWatch | InterfaceWatch | AddressWatch | CustomWatch | ModuleWatch


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchResources:
    """Order to a checker service: watch exactly these now (the classes active in the present role), whole list each
    time.
    """

    processes: tuple[ProcessWatch, ...] = ()
    tcp: tuple[TcpWatch, ...] = ()
    ping: tuple[PingWatch, ...] = ()
    interfaces: tuple[InterfaceWatch, ...] = ()
    addresses: tuple[AddressWatch, ...] = ()
    custom: tuple[CustomWatch, ...] = ()
    modules: tuple[ModuleWatch, ...] = ()
    witnesses: tuple[WitnessWatch, ...] = ()
    """At most one. No switch turns it off: it keeps two nodes from acting alone."""

    @property
    def checks(self) -> tuple[AnyWatch, ...]:
        """Everything but processes and the witness: what the switch `checker` turns on and off."""
        return (*self.tcp, *self.ping, *self.interfaces, *self.addresses, *self.custom, *self.modules)

    @property
    def every(self) -> tuple[AnyWatch, ...]:
        return (*self.processes, *self.checks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFacts:
    """Order to every service: publish your current facts about this module (or all, at node scope)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChanged:
    """A decision of the state machine, for people, projections and traces. reason: the table row's sentence."""

    role: str
    status: str
    previous_role: str
    previous_status: str
    epoch: int
    reason: str
    because: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRefused:
    action: Action
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanEnded:
    """One span of a trace, kept locally and exported when that is configured. Times are the node's wall clock in ns."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    service: str
    start_wall_ns: int
    end_wall_ns: int
    attributes: dict[str, str] = field(default_factory=dict)
