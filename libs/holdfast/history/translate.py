"""From an applied configuration to the decider's settings. Pure, so that a replay arrives at the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType

from holdfast.config import model
from holdfast.config.agreement import check_against_cluster, resolve_cluster
from holdfast.config.model import ModuleConfig, Reaction, ScriptClass
from holdfast.config.parse import parse_cluster, parse_module
from holdfast.config.ports import heart_port, module_number, replication_port
from holdfast.core.settings import ModuleSettings, ReplicationLink, Watches
from holdfast.errors import ConfigError
from holdfast.events import replication
from holdfast.events.module import ConfigurationApplied, HeartbeatLink, ProcessWatch, TcpWatch, VirtualAddress
from holdfast.ids import ModuleId, NodeId

GRACE_OF_TIMEOUT_PERCENT = 30
"""How much of the heartbeat timeout a broken replication link may use up to come back before it is given up."""
SCRIPT_LOG_BYTES_MAX = 1 << 20
"""Output kept of one script run when the configuration does not say."""
SOURCE = "safeconf.xml"
CLUSTER_SOURCE = "cluster.xml"


def module_settings(applied: ConfigurationApplied, *, module: ModuleId, node: NodeId) -> ModuleSettings:
    """Return what the decider needs; raise ConfigError with everything that stands against it."""
    config = parse_module(applied.text.encode(), SOURCE, {})
    cluster = parse_cluster(applied.cluster_text.encode(), CLUSTER_SOURCE)
    check_against_cluster(config, cluster, node)
    cluster = resolve_cluster(cluster, lambda name: _resolved(applied.addresses, name))
    links = tuple(_link(beat, cluster, node) for beat in config.heart.heartbeats)
    number = module_number(applied.number)
    user = config.user
    flow = next(link for link in links if link.ident == config.heart.flow.ident)
    return ModuleSettings(
        module=module,
        node=node,
        peer=_peer(config, cluster, node),
        failover=config.service.failover,
        defaultprim=config.service.defaultprim,
        maxloop=config.service.maxloop,
        loop_interval_s=config.service.loop_interval_s,
        replication=_replication(config, flow, replication_port(number), applied.key_file),
        addresses=tuple(_address(address, applied.addresses) for address in config.virtual_addresses),
        reset_connections=config.tcp_reset,
        heartbeat_port=config.heart.port or heart_port(number),
        heartbeat_pulse_ms=config.heart.pulse_ms,
        heartbeat_timeout_ms=config.heart.timeout_ms,
        heartbeat_links=links,
        heartbeat_key_file=applied.key_file,
        watches=_watches(config),
        renounce_grace_ms=config.heart.timeout_ms * GRACE_OF_TIMEOUT_PERCENT // 100,
        signature=applied.signature,
        script_log_bytes_max=user.log_size_kib * 1024 if user else SCRIPT_LOG_BYTES_MAX,
        script_environment=MappingProxyType({item.name: item.value for item in user.variables} if user else {}),
    )


def host_names(config: ModuleConfig, cluster: model.ClusterConfig) -> tuple[str, ...]:
    """Return the texts that stand where an address is needed and are none: names that have to be looked up."""
    places = [text for lan in cluster.lans for node in lan.nodes for text in (node.address, node.local_address)]
    texts = [*(text for text in places if text), *(virtual.address for virtual in config.virtual_addresses)]
    return tuple(dict.fromkeys(text for text in texts if not _is_address(text)))


def _resolved(addresses: Mapping[str, str], name: str) -> str:
    try:
        return addresses[name]
    except KeyError:
        raise ConfigError(
            f"{name!r} has no address", hint="an IP address, or a name that resolves on this node"
        ) from None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _peer(config: ModuleConfig, cluster: model.ClusterConfig, node: NodeId) -> NodeId:
    lan = cluster.lan(config.heart.flow.lan)
    assert lan is not None, "the configuration was checked against the cluster"
    return next(member.name for member in lan.nodes if member.name != node)


def _link(beat: model.Heartbeat, cluster: model.ClusterConfig, node: NodeId) -> HeartbeatLink:
    lan = cluster.lan(beat.lan)
    assert lan is not None, "the configuration was checked against the cluster"
    own = next(member for member in lan.nodes if member.name == node)
    peer = next(member for member in lan.nodes if member.name != node)
    return HeartbeatLink(
        ident=beat.ident,
        lan=beat.lan,
        local_address=own.local_address or own.address,
        peer_address=peer.address,
        pulse_ms=beat.pulse_ms,
        timeout_ms=beat.timeout_ms,
    )


def _replication(config: ModuleConfig, flow: HeartbeatLink, port: int, key_file: str) -> ReplicationLink | None:
    rfs = config.replication
    if rfs is None:
        return None
    settings = replication.ReplicationSettings(
        directories=tuple(_directory(directory) for directory in rfs.directories),
        acknowledge_on_disk=rfs.acknowledgement is model.Acknowledgement.NONE,
        connections=rfs.connections,
        resync_readers=rfs.resync_workers,
        resync_bytes_per_second=(rfs.resync_bandwidth_kib_s or 0) * 1024,
        send_timeout_ms=rfs.send_timeout_s * 1000,
        resync_timeout_ms=rfs.resync_timeout_s * 1000,
    )
    return ReplicationLink(
        settings=settings,
        local_address=flow.local_address,
        peer_address=flow.peer_address,
        port=port,
        key_file=key_file,
    )


def _directory(directory: model.ReplicatedDirectory) -> replication.ReplicatedDirectory:
    patterns = tuple(f"!{name.pattern}" if name.inverted else name.pattern for name in directory.excluded_names)
    return replication.ReplicatedDirectory(
        path=directory.path,
        excluded=directory.excluded_paths,
        excluded_patterns=patterns,
        must_exist=directory.required_paths,
    )


def _address(virtual: model.VirtualAddress, addresses: Mapping[str, str]) -> VirtualAddress:
    text = virtual.address if _is_address(virtual.address) else _resolved(addresses, virtual.address)
    return VirtualAddress(
        address=text,
        prefix=virtual.prefix_length or 0,
        interface=virtual.interface.name or "",
        primary_address=virtual.placement is model.AddressPlacement.ONE_SIDE,
        announce_interval_s=virtual.interface.arp_interval_s,
        announce_for_s=virtual.interface.arp_elapse_s,
        announce_repeatedly=virtual.interface.arp_reroute,
    )


def _watches(config: ModuleConfig) -> Watches:
    def processes(*classes: ScriptClass) -> tuple[ProcessWatch, ...]:
        return tuple(_process(watch) for watch in config.processes if watch.script_class in classes)

    def tcp(*classes: ScriptClass) -> tuple[TcpWatch, ...]:
        return tuple(_tcp(check) for check in config.tcp_checks if check.when in classes)

    return Watches(
        prim_processes=processes(ScriptClass.PRIM),
        second_processes=processes(ScriptClass.SECOND),
        sec_processes=processes(ScriptClass.SEC),
        both_processes=processes(ScriptClass.BOTH, ScriptClass.PRE),
        prim_tcp=tcp(ScriptClass.PRIM),
        second_tcp=tcp(ScriptClass.SECOND),
        sec_tcp=tcp(ScriptClass.SEC),
        both_tcp=tcp(ScriptClass.BOTH, ScriptClass.PRE),
    )


def _process(watch: model.WatchedProcess) -> ProcessWatch:
    reaction = Reaction.NOACTION if watch.reaction is Reaction.HANDLER else watch.reaction
    return ProcessWatch(
        name=watch.name,
        name_regex=watch.name_regex or "",
        argument_regex=watch.argument_regex or "",
        at_least=watch.at_least,
        at_most=watch.at_most,
        action=reaction.value,
        start_after_s=-(-watch.start_after_ms // 1000),
        poll_interval_ms=watch.poll_ms,
        unit=watch.unit,
    )


def _tcp(check: model.TcpCheck) -> TcpWatch:
    return TcpWatch(
        ident=check.ident,
        address=check.address,
        port=check.port,
        interval_ms=check.interval_ms,
        timeout_ms=check.timeout_ms,
        action=check.reaction.value,
    )
