"""What a configuration says, as frozen values.

Nothing here reads a file or knows XML: `holdfast.config.parse` makes these values, everything else uses
them. Spans of time are whole numbers with the unit in the name. A `Position` tells where in the file a
value was said; it takes no part in comparisons, so that two files that say the same are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from holdfast.ids import NodeId

LanName = NewType("LanName", str)

FLOW_IDENT = "flow"
"""The reserved heartbeat ident that also selects the network of the replication."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where something stands in a file; line and column count from 1, 0 when unknown."""

    line: int = 0
    column: int = 0


NOWHERE = Position()


class ModuleMode(StrEnum):
    """Kind of module."""

    MIRROR = "mirror"
    FARM = "farm"
    LIGHT = "light"


class BootPolicy(StrEnum):
    """What a machine boot does to the module."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"
    """Start only if the module was running before."""
    IGNORE = "ignore"
    """Decided by the `boot` command; off until switched on."""


class Acknowledgement(StrEnum):
    """When the secondary acknowledges a replicated write (the attribute `async`)."""

    NONE = "none"
    """After its disk has it."""
    SECOND = "second"
    """When its memory has it."""


class AddressPlacement(StrEnum):
    """How the primary carries a virtual address (the attribute `where`)."""

    ONE_SIDE_ALIAS = "one_side_alias"
    """Beside the interface's own addresses."""
    ONE_SIDE = "one_side"
    """As the address from which outgoing connections start."""


class ScriptClass(StrEnum):
    """The part of a module's life during which a process or an address is watched."""

    PRE = "pre"
    """From after prestart until poststop, in any state."""
    PRIM = "prim"
    """Between start_prim and stop_prim."""
    SECOND = "second"
    """Between start_second and stop_second."""
    SEC = "sec"
    """Between start_sec and stop_sec (secondary or alone)."""
    BOTH = "both"
    """Between start_both and stop_both."""


class Reaction(StrEnum):
    """What happens when a watched thing is down."""

    RESTART = "restart"
    STOPSTART = "stopstart"
    STOP = "stop"
    WAIT = "wait"
    NOACTION = "noaction"
    HANDLER = "handler"
    """Run the module's own executable instead (process monitoring only)."""


class ScriptLogging(StrEnum):
    """What becomes of the output of scripts."""

    USERLOG = "userlog"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class LanNode:
    """One node's place on one lan. IPv6 addresses are held without brackets."""

    name: NodeId
    address: str
    local_address: str | None = None
    """The address to bind and send from when the node is behind address translation."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Lan:
    """A named network with one address for each of its nodes."""

    name: LanName
    command: bool = False
    """Carries the requests between gateways. Exactly one lan of a cluster has this set."""
    nodes: tuple[LanNode, ...]
    at: Position = field(default=NOWHERE, compare=False, repr=False)

    def node(self, name: str) -> LanNode | None:
        """The place of a node on this lan, or None when it has none."""
        return next((node for node in self.nodes if node.name == name), None)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """The whole of a cluster.xml."""

    port: int
    """UDP port of the model's node membership protocol."""
    pulse_ms: int
    mlost_count: int
    slost_count: int
    lans: tuple[Lan, ...]
    signature: str
    """SHA-256 of the canonical text, in hexadecimal; equal on nodes that agree."""
    source: str = field(default="", compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Every node of the cluster, in the order of the command lan (which lists them all)."""
        return tuple(node.name for node in self.command_lan.nodes)

    @property
    def command_lan(self) -> Lan:
        """The lan that carries requests between gateways."""
        return next(lan for lan in self.lans if lan.command)

    def lan(self, name: str) -> Lan | None:
        """The lan of that name, or None."""
        return next((lan for lan in self.lans if lan.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A name that stands for a text wherever %NAME% is written."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Attributes of the `service` tag."""

    mode: ModuleMode
    boot: BootPolicy
    boot_delay_s: int
    failover: bool
    """May the secondary take over by itself."""
    defaultprim: str
    """`alone`, `lastprim`, or the name of a node."""
    maxloop: int
    loop_interval_s: int
    """Window in which `maxloop` counts; 0 switches the counter off."""
    automatic_reboot: bool = False
    """An automatic stopstart reboots the machine."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """One heartbeat link; pulse and timeout are already those that apply to it."""

    lan: LanName
    """Empty when the file gives addresses instead (`agreement.on_named_lans` finds the lan)."""
    ident: str
    pulse_ms: int
    timeout_ms: int
    servers: tuple[str, ...] = ()
    """Addresses of the two nodes, in the syntax before lans had names."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class HeartSettings:
    """The `heart` tag and its heartbeats."""

    port: int | None
    """UDP port, or None for the one derived from the module id (`ports.heart_port`)."""
    pulse_ms: int
    timeout_ms: int
    heartbeats: tuple[Heartbeat, ...]
    flow_ident: str = FLOW_IDENT
    """Another one only where the file names the replication network by addresses."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)

    @property
    def flow(self) -> Heartbeat:
        """The heartbeat whose network carries the replication: ident `flow`, else the first."""
        return next((beat for beat in self.heartbeats if beat.ident == self.flow_ident), self.heartbeats[0])


@dataclass(frozen=True, kw_only=True)
class InterfaceSettings:
    """Attributes of the `interface` tag, shared by the addresses under it."""

    name: str | None
    """Interface by name, or None to detect it from the address."""
    check: bool
    """Watch the interface (resource `intf.<network>`)."""
    arp_reroute: bool
    """Repeat the announcement of IPv4 addresses."""
    arp_interval_s: int
    arp_elapse_s: int
    """How long the announcement is repeated."""


@dataclass(frozen=True, kw_only=True)
class VirtualAddress:
    """An address that follows the primary."""

    address: str
    """IPv4 or IPv6 address without brackets, or a host name."""
    placement: AddressPlacement
    check: bool
    """Watch the address (resource `ip.<address>`)."""
    prefix_length: int | None
    """From `netmask` (IPv4 only), or None to take the interface's."""
    interface: InterfaceSettings
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class NamePattern:
    """Entry names left out of the replication, as a POSIX extended regular expression."""

    pattern: str
    inverted: bool
    """True: replicate only what matches."""


@dataclass(frozen=True, kw_only=True)
class ReplicatedDirectory:
    """One replicated tree."""

    path: str
    """Absolute and normalised, the same on both nodes."""
    excluded_paths: tuple[str, ...] = ()
    """Relative to `path`, normalised; the whole subtree is left out."""
    excluded_names: tuple[NamePattern, ...] = ()
    required_paths: tuple[str, ...] = ()
    """Files (relative to `path`, or absolute) that must exist before replication starts (`tocheck`)."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class ReplicationSettings:
    """The `rfs` tag and its directories."""

    acknowledgement: Acknowledgement
    acl: bool
    resync_workers: int
    """`nbrei`"""
    resync_packet_bytes: int
    """`reipacketsize`"""
    resync_bandwidth_kib_s: int | None
    """`reiallowedbw`; None is unlimited."""
    send_timeout_s: int | None
    lock_timeout_s: int
    resync_timeout_s: int
    connections: int
    """`nbremconn`"""
    scripts: bool
    """Call the `_rfs_*` scripts."""
    sync_delta_s: int
    """`syncdelta`; 0 for none."""
    directories: tuple[ReplicatedDirectory, ...]
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class UserVariable:
    """An environment variable for the scripts."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """The `user` tag. A module without one runs no script at all."""

    nice_stop_timeout_s: int
    force_stop_timeout_s: int
    logging: ScriptLogging
    log_size_kib: int
    variables: tuple[UserVariable, ...]


class HostNameScope(StrEnum):
    """Whose scripts have the virtual host name from their start."""

    PRIM = "prim"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class VirtualHost:
    """The `virtualhostname` tag."""

    name: str
    env_file: str
    """Relative to the module's bin."""
    when: HostNameScope
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class WatchedProcess:
    """One `proc` of the `errd` tag."""

    name: str
    """Command name (at most 15 bytes, as the kernel cuts it) or the name of a systemd unit."""
    unit: bool
    """The name is that of a systemd unit (`service="yes"`)."""
    name_regex: str | None
    argument_regex: str | None
    script_class: ScriptClass
    """Of a private class: pre, because it is watched in any state too."""
    reaction: Reaction
    handler: str | None
    """Executable relative to the module's bin, with `Reaction.HANDLER`."""
    at_least: int
    """Minimum number of processes; -1 ignores it."""
    at_most: int
    """Maximum number of processes; -1 ignores it, 0 reacts whenever one runs."""
    start_after_ms: int
    """Delay before the first look, already multiplied out."""
    poll_ms: int
    """Period of the fallback poll."""
    restart_services: tuple[str, ...] = ()
    """The services that a restart is about; empty for all."""
    private_class: str = ""
    """A class of the module's own, watched while it is switched on; empty for one of the scripts."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class TcpCheck:
    """A `tcp` checker: connects to an address and port."""

    ident: str
    when: ScriptClass
    reaction: Reaction
    address: str
    port: int
    interval_ms: int
    timeout_ms: int
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class FailoverSettings:
    """The `failover` tag."""

    extends: bool = True
    """Keep the default rules and those made from the actions of checkers."""
    period_ms: int = 0
    """How often rules are looked at; 0 is with every event."""
    handle_time_ms: int = 0
    rules: tuple[str, ...] = ()
    """The operator's rules in the plain form, each as `label: if (condition) then action();`."""
    disabled: tuple[str, ...] = ()
    """Labels that `Rules.disable` names."""
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class PingCheck:
    """A `ping` checker: asks an address for an echo."""

    ident: str
    when: ScriptClass
    reaction: Reaction
    address: str
    interval_ms: int
    timeout_ms: int
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class InterfaceCheck:
    """An `intf` checker: the interface that has an address, or whose network holds it."""

    ident: str
    address: str
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class AddressCheck:
    """An `ip` checker: this node, and nobody else, has an address."""

    ident: str
    when: ScriptClass
    address: str
    interval_ms: int
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class CustomCheck:
    """A `custom` checker: a program of the module."""

    ident: str
    when: ScriptClass
    reaction: Reaction
    program: str
    """Absolute, or relative to the module's bin."""
    arguments: tuple[str, ...]
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class ModuleCheck:
    """A `module` checker: another module serves, on this node (address empty) or where a gateway answers."""

    key: str
    """Second half of the resource's name."""
    name: str
    address: str
    port: int
    interval_ms: int
    timeout_ms: int
    secure: bool
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class SplitbrainCheck:
    """The witness: addresses to ping, or a lease witness as `address:port`."""

    ident: str
    pinged: tuple[str, ...] = ()
    lease: str | None = None
    at: Position = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class ModuleConfig:
    """The whole of a userconfig.xml, macros expanded, defaults filled in."""

    service: ServiceSettings
    heart: HeartSettings
    virtual_addresses: tuple[VirtualAddress, ...]
    tcp_reset: bool
    """Reset connections that come from a virtual address before it is removed."""
    replication: ReplicationSettings | None
    user: UserSettings | None
    processes: tuple[WatchedProcess, ...]
    tcp_checks: tuple[TcpCheck, ...]
    failover: FailoverSettings = FailoverSettings()
    macros: tuple[Macro, ...]
    signature: str
    """SHA-256 of the canonical expanded text, in hexadecimal; equal on nodes that agree."""
    ping_checks: tuple[PingCheck, ...] = ()
    interface_checks: tuple[InterfaceCheck, ...] = ()
    """Those written as checkers; `InterfaceSettings.check` asks for more."""
    address_checks: tuple[AddressCheck, ...] = ()
    """Those written as checkers; `VirtualAddress.check` asks for more."""
    custom_checks: tuple[CustomCheck, ...] = ()
    module_checks: tuple[ModuleCheck, ...] = ()
    splitbrain: SplitbrainCheck | None = None
    virtual_host: VirtualHost | None = None
    source: str = field(default="", compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
