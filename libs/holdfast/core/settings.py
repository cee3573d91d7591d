"""What a module's configuration says to the decider. The shell translates the parsed configuration into this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from holdfast.events.module import HeartbeatLink, ProcessWatch, TcpWatch, VirtualAddress
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Watches:
    """What checkers watch, by class: `prim` in PRIM and ALONE, `second` in SECOND, `sec` in SECOND and ALONE,
    `both` in all three. Classes are those of the scripts (`start_prim` …)."""

    prim_processes: tuple[ProcessWatch, ...] = ()
    second_processes: tuple[ProcessWatch, ...] = ()
    sec_processes: tuple[ProcessWatch, ...] = ()
    both_processes: tuple[ProcessWatch, ...] = ()
    prim_tcp: tuple[TcpWatch, ...] = ()
    second_tcp: tuple[TcpWatch, ...] = ()
    sec_tcp: tuple[TcpWatch, ...] = ()
    both_tcp: tuple[TcpWatch, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleSettings:
    """All that the decider needs to know about one mirror module on this node. Defaults are the product's.

    defaultprim: "alone", "lastprim" or a node's name. maxloop: automatic actions tolerated within loop_interval_s
    (0: not counted). renounce_grace_ms: how long a broken replication link may take to come back before the primary
    asks the secondary to renounce; a fraction of heartbeat_timeout_ms.
    """

    module: ModuleId
    node: NodeId
    peer: NodeId
    failover: bool = True
    defaultprim: str = DEFAULT_PRIMARY_ALONE
    maxloop: int = 3
    loop_interval_s: int = 24 * 3600
    replication: ReplicationLink | None = None
    addresses: tuple[VirtualAddress, ...] = ()
    reset_connections: bool = True
    heartbeat_port: int = 8888
    heartbeat_pulse_ms: int = 100
    heartbeat_timeout_ms: int = 1_000
    heartbeat_links: tuple[HeartbeatLink, ...] = ()
    heartbeat_key_file: str = ""
    watches: Watches = field(default_factory=Watches)
    script_timeout_ms: int = 600_000
    script_log_bytes_max: int = 1 << 20
    script_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    renounce_grace_ms: int = 300
    signature: str = ""
