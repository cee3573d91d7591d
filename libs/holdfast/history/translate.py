"""From an applied configuration to the decider's settings. Pure, so that a replay arrives at the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from types import MappingProxyType

from holdfast.config import model
from holdfast.config.agreement import check_against_cluster, on_named_lans, resolve_cluster
from holdfast.config.model import ModuleConfig
from holdfast.config.parse import parse_cluster, parse_module
from holdfast.config.ports import heart_port, module_number, replication_port
from holdfast.core.rule import LABEL_PREFIXES, RuleSettings, own_rule
from holdfast.core.settings import (
    Handler,
    ModuleSettings,
    ReplicationLink,
    TargetedRestart,
    VirtualHost,
    Watches,
    WitnessSettings,
)
from holdfast.errors import ConfigError
from holdfast.events import replication
from holdfast.events.module import (
    Action,
    ConfigurationApplied,
    HeartbeatLink,
    VirtualAddress,
    WatchResources,
    WitnessKind,
)
from holdfast.failover.parse import read_rules
from holdfast.failover.ruleset import rule_set, rule_settings
from holdfast.history.watching import watched_addresses, watches_of
from holdfast.ids import ModuleId, NodeId

GRACE_OF_TIMEOUT_PERCENT = 30
"""How much of the heartbeat timeout a broken replication link may use up to come back before it is given up."""
SCRIPT_LOG_BYTES_MAX = 1 << 20
"""Output kept of one script run when the configuration does not say."""
STOP_TIMEOUT_MS = 300_000
"""Without `user` no script runs; the model's default stands for the limit of none."""
SEND_TIMEOUT_MS_MIN = 1000
"""TCP repeats a lost segment after 200 ms, then 400 ms: below a second one lost packet could break the link."""
SOURCE = "safeconf.xml"
CLUSTER_SOURCE = "cluster.xml"


def module_settings(applied: ConfigurationApplied, *, module: ModuleId, node: NodeId) -> ModuleSettings:
    """Return what the decider needs; raise ConfigError with everything that stands against it."""
    config = parse_module(applied.text.encode(), SOURCE, {})
    cluster = parse_cluster(applied.cluster_text.encode(), CLUSTER_SOURCE)
    check_against_cluster(config, cluster, node)
    config = on_named_lans(config, cluster)
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
        automatic_reboot=config.service.automatic_reboot,
        replication=_replication(config, flow, replication_port(number), applied.key_file),
        addresses=_addresses(config, cluster, applied.addresses),
        reset_connections=config.tcp_reset,
        heartbeat_port=config.heart.port or heart_port(number),
        heartbeat_pulse_ms=config.heart.pulse_ms,
        heartbeat_timeout_ms=config.heart.timeout_ms,
        heartbeat_links=links,
        heartbeat_key_file=applied.key_file,
        witness=_witness(config.splitbrain, applied.key_file),
        watches=_resolved_watches(config, applied.addresses),
        rules=_rules(config),
        renounce_grace_ms=config.heart.timeout_ms * GRACE_OF_TIMEOUT_PERCENT // 100,
        signature=applied.signature,
        sync_delta_ms=config.replication.sync_delta_s * 1000 if config.replication is not None else 0,
        handlers=_handlers(config),
        targeted_restarts=tuple(
            TargetedRestart(resource=f"proc.{watch.name}", services=", ".join(watch.restart_services))
            for watch in config.processes
            if watch.restart_services
        ),
        virtual_host=_virtual_host(config.virtual_host),
        runs_scripts=user is not None,
        nice_stop_timeout_ms=user.nice_stop_timeout_s * 1000 if user else STOP_TIMEOUT_MS,
        force_stop_timeout_ms=user.force_stop_timeout_s * 1000 if user else STOP_TIMEOUT_MS,
        script_log_bytes_max=_script_log_bytes(user),
        script_environment=MappingProxyType({item.name: item.value for item in user.variables} if user else {}),
    )


def _witness(check: model.SplitbrainCheck | None, key_file: str) -> WitnessSettings | None:
    """Host names stay: the checker looks them up when it asks."""
    if check is None:
        return None
    if check.lease is not None:
        return WitnessSettings(ident=check.ident, kind=WitnessKind.LEASE, targets=(check.lease,), key_file=key_file)
    return WitnessSettings(ident=check.ident, kind=WitnessKind.PING, targets=check.pinged)


def _virtual_host(host: model.VirtualHost | None) -> VirtualHost | None:
    return None if host is None else VirtualHost(name=host.name, when=host.when.value)


def _script_log_bytes(user: model.UserSettings | None) -> int:
    """Output kept of one run; none with `logging="none"`."""
    if user is None:
        return SCRIPT_LOG_BYTES_MAX
    return user.log_size_kib * 1024 if user.logging is model.ScriptLogging.USERLOG else 0


def host_names(config: ModuleConfig, cluster: model.ClusterConfig) -> tuple[str, ...]:
    """Return the texts that stand where an address is needed and are none: names that have to be looked up."""
    places = [text for lan in cluster.lans for node in lan.nodes for text in (node.address, node.local_address)]
    texts = [*(text for text in places if text), *(virtual.address for virtual in config.virtual_addresses)]
    texts += watched_addresses(config)
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
        send_timeout_ms=_send_timeout_ms(rfs, flow),
        resync_timeout_ms=rfs.resync_timeout_s * 1000,
    )
    return ReplicationLink(
        settings=settings,
        local_address=flow.local_address,
        peer_address=flow.peer_address,
        port=port,
        key_file=key_file,
    )


def _send_timeout_ms(rfs: model.ReplicationSettings, flow: HeartbeatLink) -> int:
    """How long data may be on their way: when nothing else was asked for, as long as silence of the same network."""
    if rfs.send_timeout_s is not None:
        return rfs.send_timeout_s * 1000
    return max(flow.timeout_ms, SEND_TIMEOUT_MS_MIN)


def _directory(directory: model.ReplicatedDirectory) -> replication.ReplicatedDirectory:
    patterns = tuple(f"!{name.pattern}" if name.inverted else name.pattern for name in directory.excluded_names)
    return replication.ReplicatedDirectory(
        path=directory.path,
        excluded=directory.excluded_paths,
        excluded_patterns=patterns,
        must_exist=directory.required_paths,
    )


def _addresses(
    config: ModuleConfig, cluster: model.ClusterConfig, addresses: Mapping[str, str]
) -> tuple[VirtualAddress, ...]:
    """The virtual addresses; a host name among them must not mean a node (an address was checked before)."""
    owners = {place.address: place.name for lan in cluster.lans for place in lan.nodes}
    found = tuple(_address(virtual, addresses) for virtual in config.virtual_addresses)
    for virtual, meant in zip(config.virtual_addresses, found, strict=True):
        if meant.address in owners:
            raise ConfigError(
                f"virtual address {virtual.address} is {meant.address}, the address of node '{owners[meant.address]}'",
                hint="an address that no node has",
            )
    return found


def _address(virtual: model.VirtualAddress, addresses: Mapping[str, str]) -> VirtualAddress:
    text = _numeric(virtual.address, addresses)
    return VirtualAddress(
        address=text,
        prefix=virtual.prefix_length or 0,
        interface=virtual.interface.name or "",
        primary_address=virtual.placement is model.AddressPlacement.ONE_SIDE,
        announce_interval_s=virtual.interface.arp_interval_s,
        announce_for_s=virtual.interface.arp_elapse_s,
        announce_repeatedly=virtual.interface.arp_reroute,
    )


def _resolved_watches(config: ModuleConfig, addresses: Mapping[str, str]) -> Watches:
    """With addresses instead of the host names of what has to be on this node."""

    def of(part: WatchResources) -> WatchResources:
        return replace(
            part,
            interfaces=tuple(replace(each, address=_numeric(each.address, addresses)) for each in part.interfaces),
            addresses=tuple(replace(each, address=_numeric(each.address, addresses)) for each in part.addresses),
        )

    found = watches_of(config)
    return replace(
        found,
        pre=of(found.pre),
        prim=of(found.prim),
        second=of(found.second),
        sec=of(found.sec),
        both=of(found.both),
    )


def _numeric(text: str, addresses: Mapping[str, str]) -> str:
    return text if _is_address(text) else _resolved(addresses, text)


def _rules(config: ModuleConfig) -> RuleSettings:
    """The operator's rules, one for each checker that is labelled after its ident, the default ones and the table's."""
    failover, watches = config.failover, watches_of(config).every.every
    labelled = (watch for watch in watches if watch.resource.partition(".")[0] in LABEL_PREFIXES)
    return rule_settings(
        rule_set(
            read_rules(failover.rules),
            [own_rule(watch.resource, Action(watch.action)) for watch in labelled],
            disabled=failover.disabled,
            extends=failover.extends,
        ),
        period_ms=failover.period_ms,
        handle_time_ms=failover.handle_time_ms,
    )


def _handlers(config: ModuleConfig) -> tuple[Handler, ...]:
    return tuple(
        Handler(resource=f"proc.{watch.name}", script=watch.handler, again_after_ms=watch.poll_ms)
        for watch in config.processes
        if watch.handler is not None
    )
