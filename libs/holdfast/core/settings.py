"""What a module's configuration says to the decider. The shell translates the parsed configuration into this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from holdfast.core.rule import RuleSettings
from holdfast.events.module import HeartbeatLink, ProcessWatch, VirtualAddress, WatchResources, WitnessKind
from holdfast.events.replication import ReplicationSettings
from holdfast.ids import ModuleId, NodeId

DEFAULT_PRIMARY_ALONE = "alone"
"""`defaultprim`: whoever is primary stays primary."""
DEFAULT_PRIMARY_LAST = "lastprim"
"""`defaultprim`: the node that was primary before its last stop takes the role back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicationLink:
    """Replication of a module: what is replicated and between which addresses. key_file authenticates both ends."""

    settings: ReplicationSettings
    local_address: str
    peer_address: str
    port: int
    key_file: str = ""


NOTHING = WatchResources()


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateClass:
    """Processes of a class of the module's own, watched while somebody has switched it on (`errd enable NAME`)."""

    name: str
    processes: tuple[ProcessWatch, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watches:
    """What checkers watch, by class: `prim` in PRIM and ALONE, `second` in SECOND, `sec` in SECOND and ALONE,
    `both` in all three; these classes are those of the scripts (`start_prim` …). `pre`: from after prestart until
    poststop, in any state; so are the private classes, as long as they are switched on."""

    pre: WatchResources = NOTHING
    prim: WatchResources = NOTHING
    second: WatchResources = NOTHING
    sec: WatchResources = NOTHING
    both: WatchResources = NOTHING
    private: tuple[PrivateClass, ...] = ()

    @property
    def every(self) -> WatchResources:
        """Those of every class."""
        own = tuple(WatchResources(processes=each.processes) for each in self.private)
        return together(self.pre, self.both, self.prim, self.second, self.sec, *own)

    @property
    def pre_resources(self) -> frozenset[str]:
        """Names of the resources that are watched in any state."""
        own = (watch for each in self.private for watch in each.processes)
        return frozenset(watch.resource for watch in (*self.pre.every, *own))

    @property
    def process_classes(self) -> Mapping[str, tuple[ProcessWatch, ...]]:
        """Watched processes by the name of their class, classes without any left out."""
        roles = {"pre": self.pre, "both": self.both, "prim": self.prim, "second": self.second, "sec": self.sec}
        found = {name: part.processes for name, part in roles.items()}
        return {
            name: processes
            for name, processes in {**found, **{each.name: each.processes for each in self.private}}.items()
            if processes
        }

    def class_of_process(self, resource: str) -> str:
        """The class of the process with this resource; empty when no process has it."""
        classes = self.process_classes.items()
        return next((name for name, watches in classes for watch in watches if watch.resource == resource), "")

    def action_of(self, resource: str) -> str:
        """The action configured for a resource going down; empty when nobody watches it."""
        return next((watch.action for watch in self.every.every if watch.resource == resource), "")


def together(*parts: WatchResources) -> WatchResources:
    """Everything that the parts name, in their order."""
    return WatchResources(
        processes=tuple(watch for part in parts for watch in part.processes),
        tcp=tuple(watch for part in parts for watch in part.tcp),
        ping=tuple(watch for part in parts for watch in part.ping),
        interfaces=tuple(watch for part in parts for watch in part.interfaces),
        addresses=tuple(watch for part in parts for watch in part.addresses),
        custom=tuple(watch for part in parts for watch in part.custom),
        modules=tuple(watch for part in parts for watch in part.modules),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """The module's own executable for a resource that is down. again_after_ms: when it stays down although the
    executable has succeeded, it is run again, not sooner than this."""

    resource: str
    script: str
    again_after_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetedRestart:
    """The services that a restart because of this resource is about, as scripts are told them ("A, B")."""

    resource: str
    services: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VirtualHost:
    """Another host name for what scripts start. when: "prim", "second" or "both", whose scripts have it from their
    start."""

    name: str
    when: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WitnessSettings:
    """Who decides which node may act when they no longer hear each other. targets: as of `WitnessWatch`."""

    ident: str
    kind: WitnessKind
    targets: tuple[str, ...]
    key_file: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleSettings:
    """All that the decider needs to know about one mirror module on this node. Defaults are the product's.

    defaultprim: "alone", "lastprim" or a node's name. maxloop: automatic actions tolerated within loop_interval_s
    (0: not counted). automatic_reboot: an automatic stopstart is to reboot the node. renounce_grace_ms: how long a
    broken replication link may take to come back before the primary asks the secondary to renounce; a fraction of
    heartbeat_timeout_ms. runs_scripts: False without a `user` tag, then every script counts as done.
    script_timeout_ms: of all scripts but graceful and forced stop scripts.
    sync_delta_ms: how old a copy may be that goes on though the other node may have newer data (`syncdelta`), 0: never.
    sync_mark_ms: how often a mark is made for that. clocks_apart_ms: how far the nodes' clocks may be apart.
    """

    module: ModuleId
    node: NodeId
    peer: NodeId
    failover: bool = True
    defaultprim: str = DEFAULT_PRIMARY_ALONE
    maxloop: int = 3
    loop_interval_s: int = 24 * 3600
    automatic_reboot: bool = False
    replication: ReplicationLink | None = None
    addresses: tuple[VirtualAddress, ...] = ()
    reset_connections: bool = True
    heartbeat_port: int = 8888
    heartbeat_pulse_ms: int = 100
    heartbeat_timeout_ms: int = 1_000
    heartbeat_links: tuple[HeartbeatLink, ...] = ()
    heartbeat_key_file: str = ""
    witness: WitnessSettings | None = None
    watches: Watches = field(default_factory=Watches)
    handlers: tuple[Handler, ...] = ()
    targeted_restarts: tuple[TargetedRestart, ...] = ()
    rules: RuleSettings = field(default_factory=RuleSettings)
    virtual_host: VirtualHost | None = None
    runs_scripts: bool = True
    script_timeout_ms: int = 600_000
    nice_stop_timeout_ms: int = 300_000
    force_stop_timeout_ms: int = 300_000
    script_log_bytes_max: int = 1 << 20
    script_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    renounce_grace_ms: int = 300
    sync_delta_ms: int = 0
    sync_mark_ms: int = 10_000
    clocks_apart_ms: int = 90_000
    signature: str = ""
