"""cluster.xml, the cluster's key and node.toml."""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from holdfast.config.model import ClusterConfig
from holdfast.config.names import CACHE_FILE, cache_text, cluster_names, look_up_all
from holdfast.config.parse import parse_cluster
from holdfast.errors import ConfigError, NotFoundError, OperatorError, RefusedError
from holdfast.ids import ModuleId, NodeId
from holdfast.settings import NodeSettings

from services.gateway.files.durable import disk, sync_directory, write_file
from services.gateway.files.modules import names

LOCK_FILE = "cluster.lock"
"""Is there while nobody may change the cluster's configuration on this node."""
KEY_BYTES = 32
"""256 bits, for keyed hashing of beats."""
KEY_BYTES_MAX = 4096
_KEY = re.compile(rb"[0-9a-fA-F]{32,4096}\s*\Z")


@dataclass(frozen=True, kw_only=True)
class ClusterInfo:
    """What `cluster confinfo` says. applied_at: UTC, ISO 8601. key: does this node have one.
    locked: it is to stay as it is."""

    node: str
    signature: str
    applied_at: str
    key: bool
    nodes: tuple[str, ...]
    lans: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    locked: bool = False


def apply_cluster(settings: NodeSettings, text: bytes, *, key: bytes | None = None, node: str = "") -> ClusterInfo:
    """Check a cluster.xml and put it in force, with its key and this node's name.

    key: the text of a key file; without one the present key stays, or a new one is made. node: this node's name in the
    cluster; without it node.toml, the host's name, or the node whose address this machine has. Raises ConfigError or
    OperatorError, and then nothing has changed. Host names are looked up now, and what they mean is kept.
    """
    _check_unlocked(settings)
    cluster = parse_cluster(text, "cluster.xml")
    addresses = look_up_all(cluster_names(cluster))
    name = _own_name(settings, cluster, node)
    key_text = _key_text(settings, key)
    with disk(settings.config_dir):
        settings.config_dir.mkdir(parents=True, exist_ok=True)
        if key_text is not None:
            write_file(settings.key_file, key_text, 0o600)
        path = settings.config_dir / "node.toml"
        if not path.exists():
            write_file(path, f'node = "{name}"\n'.encode())
        write_file(settings.config_dir / CACHE_FILE, cache_text(cluster, addresses))
        write_file(settings.cluster_file, text)
    return replace(cluster_info(settings), node=name)


def read_cluster(settings: NodeSettings) -> ClusterConfig:
    """Return the cluster in force; raise NotFoundError when there is none."""
    return parse_cluster(_read(settings.cluster_file), str(settings.cluster_file))


def cluster_info(settings: NodeSettings) -> ClusterInfo:
    """Return what is in force on this node."""
    cluster = read_cluster(settings)
    applied_at = datetime.fromtimestamp(int(settings.cluster_file.stat().st_mtime), UTC)
    return ClusterInfo(
        node=settings.node,
        signature=cluster.signature,
        applied_at=applied_at.isoformat(),
        key=settings.key_file.exists(),
        nodes=cluster.nodes,
        lans=tuple(lan.name for lan in cluster.lans),
        warnings=cluster.warnings,
        locked=(settings.config_dir / LOCK_FILE).exists(),
    )


def lock_cluster(settings: NodeSettings, locked: bool) -> ClusterInfo:
    """Let nobody change the cluster's configuration and key on this node, or let them again."""
    read_cluster(settings)
    file = settings.config_dir / LOCK_FILE
    with disk(file):
        if locked:
            write_file(file, b"")
        else:
            file.unlink(missing_ok=True)
            sync_directory(file.parent)
    return cluster_info(settings)


def renew_key(settings: NodeSettings) -> ClusterInfo:
    """Make a new key. Until all nodes have it they do not hear each other, so no module may run."""
    read_cluster(settings)
    _check_unlocked(settings)
    with disk(settings.key_file):
        write_file(settings.key_file, _fresh_key(), 0o600)
    return cluster_info(settings)


def remove_cluster(settings: NodeSettings) -> None:
    """Forget the cluster: its configuration, what its names mean, and its key. The node keeps its name.

    Raises RefusedError while a module is configured, which could not run without.
    """
    read_cluster(settings)
    _check_unlocked(settings)
    configured = [name for name in names(settings) if (settings.module_dir(ModuleId(name)) / "active").exists()]
    if configured:
        raise RefusedError(
            f"modules are configured: {', '.join(configured)}", hint="holdfast deconfig -m AM for each of them"
        )
    with disk(settings.config_dir):
        for file in (settings.cluster_file, settings.config_dir / CACHE_FILE, settings.key_file):
            file.unlink(missing_ok=True)
        sync_directory(settings.config_dir)


def _check_unlocked(settings: NodeSettings) -> None:
    if (settings.config_dir / LOCK_FILE).exists():
        raise RefusedError("the cluster's configuration is locked", hint="holdfast cluster unlock")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(
            "this node has no cluster configuration", hint="holdfast cluster config cluster.xml"
        ) from None


def _own_name(settings: NodeSettings, cluster: ClusterConfig, wanted: str) -> NodeId:
    """Which node of the cluster is this one."""
    known = ", ".join(cluster.nodes)
    if (settings.config_dir / "node.toml").exists() or os.environ.get("HOLDFAST_NODE"):
        if wanted and wanted != settings.node:
            raise OperatorError(f"this node is '{settings.node}' already, not '{wanted}'", hint="edit node.toml")
        wanted = settings.node
    if wanted:
        if wanted not in cluster.nodes:
            raise ConfigError(f"this node, '{wanted}', is not in the cluster", hint=f"its nodes: {known}")
        return NodeId(wanted)
    if settings.node in cluster.nodes:
        return settings.node
    here = [node for node in cluster.nodes if _is_here(cluster, node)]
    if len(here) == 1:
        return here[0]
    raise ConfigError("which node of the cluster is this one?", hint=f"--node with one of: {known}")


def _is_here(cluster: ClusterConfig, node: NodeId) -> bool:
    """Does this machine have an address of that node: only own addresses can be bound (ip(7), EADDRNOTAVAIL)."""
    for lan in cluster.lans:
        place = lan.node(node)
        if place is None:
            continue
        try:
            address = ip_address(place.local_address or place.address)
        except ValueError:
            continue
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((str(address), 0))
            except OSError:
                continue
            return True
    return False


def _fresh_key() -> bytes:
    return f"{secrets.token_hex(KEY_BYTES)}\n".encode()


def _key_text(settings: NodeSettings, key: bytes | None) -> bytes | None:
    """The key to write, None when the present one stays."""
    if key is None:
        return None if settings.key_file.exists() else _fresh_key()
    if len(key) > KEY_BYTES_MAX or not _KEY.match(key):
        raise OperatorError("the key file does not hold a key", hint="one line of at least 32 hexadecimal digits")
    return key.strip().lower() + b"\n"
