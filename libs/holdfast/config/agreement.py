"""Does a module fit its cluster, and the other modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address

from holdfast.config.model import ClusterConfig, Heartbeat, LanName, LanNode, ModuleConfig
from holdfast.config.problem import Problem, Report, config_error, nearest_name
from holdfast.config.semantics import overlap
from holdfast.ids import NodeId

PREFERENCES = ("alone", "lastprim")
"""Values of `defaultprim` that are not the name of a node."""

MIRROR_NODES = 2
"""A mirror has one primary and one secondary."""


def check_against_cluster(module: ModuleConfig, cluster: ClusterConfig, node: NodeId) -> None:
    """Raises ConfigError with every reason why this module cannot run on this node of this cluster."""
    report = Report(source=module.source)
    module = on_named_lans(module, cluster)
    if node not in cluster.nodes:
        report.error(
            module.service.at, f"this node, '{node}', is not in the cluster", accepted=", ".join(cluster.nodes)
        )
    _check_preferred(module, cluster, report)
    _check_heartbeats(module, cluster, node, report)
    _check_addresses(module, cluster, report)
    if module.heart.port == cluster.port:
        report.error(module.heart.at, f"port {cluster.port} is that of the cluster", accepted="another port")
    report.raise_if_wrong()


def on_named_lans(module: ModuleConfig, cluster: ClusterConfig) -> ModuleConfig:
    """The same module with the name of a lan in each heartbeat that the file gives by addresses.

    One that no lan of the cluster has stays without a name, which `check_against_cluster` refuses.
    """
    beats = tuple(replace(beat, lan=beat.lan or _lan_of(beat, cluster)) for beat in module.heart.heartbeats)
    return replace(module, heart=replace(module.heart, heartbeats=beats))


def _lan_of(beat: Heartbeat, cluster: ClusterConfig) -> LanName:
    for lan in cluster.lans:
        owners = {address: member.name for member in lan.nodes for address in (member.address, member.local_address)}
        if len({owners.get(address) for address in beat.servers} - {None}) == MIRROR_NODES:
            return lan.name
    return LanName("")


def _check_preferred(module: ModuleConfig, cluster: ClusterConfig, report: Report) -> None:
    preferred = module.service.defaultprim
    if preferred not in PREFERENCES and preferred not in cluster.nodes:
        known = [*PREFERENCES, *cluster.nodes]
        report.error(
            module.service.at,
            f"defaultprim: there is no node '{preferred}'",
            nearest=nearest_name(preferred, known),
            accepted=", ".join(known),
        )


def _check_heartbeats(module: ModuleConfig, cluster: ClusterConfig, node: NodeId, report: Report) -> None:
    """Each lan exists, has exactly two nodes, this one and the peer, and the peer is always the same."""
    pairs: set[frozenset[NodeId]] = set()
    for beat in module.heart.heartbeats:
        lan = cluster.lan(beat.lan)
        if lan is None and beat.servers:
            report.error(
                beat.at,
                f"no lan of the cluster has the addresses {' and '.join(beat.servers)}",
                accepted=", ".join(known.name for known in cluster.lans),
            )
            continue
        if lan is None:
            known = [known.name for known in cluster.lans]
            nearest = nearest_name(beat.lan, known)
            report.error(beat.at, f"there is no lan '{beat.lan}'", nearest=nearest, accepted=", ".join(known))
            continue
        nodes = [member.name for member in lan.nodes]
        if len(nodes) != MIRROR_NODES:
            accepted = f"a lan of {MIRROR_NODES} nodes"
            report.error(beat.at, f"lan '{lan.name}' has {len(nodes)} nodes, a mirror needs two", accepted=accepted)
        elif node not in nodes:
            report.error(beat.at, f"node '{node}' is not on lan '{lan.name}'", accepted=", ".join(nodes))
        pairs.add(frozenset(nodes))
    if len(pairs) > 1:
        report.error(module.heart.at, "the heartbeats join different nodes", accepted="lans with the same two nodes")


def _check_addresses(module: ModuleConfig, cluster: ClusterConfig, report: Report) -> None:
    owners = {
        address: member.name
        for lan in cluster.lans
        for member in lan.nodes
        for address in (member.address, member.local_address)
        if address is not None
    }
    for virtual in module.virtual_addresses:
        if virtual.address in owners:
            report.error(
                virtual.at,
                f"virtual address {virtual.address} is that of node '{owners[virtual.address]}'",
                accepted="an address that no node has",
            )


def check_disjoint(modules: Mapping[str, ModuleConfig]) -> None:
    """Raises ConfigError when two of these modules (by name) share a directory, an address or a heart port."""
    problems: list[Problem] = []
    seen: list[tuple[str, ModuleConfig]] = []
    for name, module in modules.items():
        for other_name, other in seen:
            problems += _shared(name, module, other_name, other)
        seen.append((name, module))
    if problems:
        raise config_error("modules", problems)


def _shared(name: str, module: ModuleConfig, other_name: str, other: ModuleConfig) -> list[Problem]:
    report = Report(source=module.source or name)
    for directory in module.replication.directories if module.replication else ():
        for taken in other.replication.directories if other.replication else ():
            if overlap(directory.path, taken.path):
                report.error(
                    directory.at,
                    f"replicated directory {directory.path} overlaps {taken.path} of module '{other_name}'",
                    accepted="directories that do not contain each other",
                )
    taken_addresses = {virtual.address for virtual in other.virtual_addresses}
    for virtual in module.virtual_addresses:
        if virtual.address in taken_addresses:
            message = f"virtual address {virtual.address} is also that of module '{other_name}'"
            report.error(virtual.at, message, accepted="one module for each address")
    if module.heart.port is not None and module.heart.port == other.heart.port:
        message = f"heart port {module.heart.port} is also that of module '{other_name}'"
        report.error(module.heart.at, message, accepted="one port for each module")
    return report.problems


def resolve_cluster(cluster: ClusterConfig, resolve: Callable[[str], str]) -> ClusterConfig:
    """The same cluster with host names replaced by addresses; `resolve` turns a name into an address."""

    def numeric(text: str) -> str:
        try:
            return str(ip_address(text))
        except ValueError:
            return str(ip_address(resolve(text)))

    def resolved(node: LanNode) -> LanNode:
        local = None if node.local_address is None else numeric(node.local_address)
        return replace(node, address=numeric(node.address), local_address=local)

    lans = tuple(replace(lan, nodes=tuple(resolved(node) for node in lan.nodes)) for lan in cluster.lans)
    return replace(cluster, lans=lans)
