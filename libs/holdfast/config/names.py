"""Host names in a cluster's configuration: looked up when it is applied, and kept beside it.

A node that starts without a name service then still knows where its peers are, and a name that means something else
changes nothing until somebody says so.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from holdfast.config.model import ClusterConfig
from holdfast.errors import ConfigError

CACHE_FILE = "cluster_names.json"
"""Beside cluster.xml."""
CACHE_BYTES_MAX = 1 << 20
HINT = "an IP address, or a name that this node can look up"


def cluster_names(cluster: ClusterConfig) -> tuple[str, ...]:
    """The texts that stand where an address is needed and are none."""
    texts = (text for lan in cluster.lans for node in lan.nodes for text in (node.address, node.local_address))
    return tuple(dict.fromkeys(text for text in texts if text and not is_address(text)))


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def look_up(name: str) -> str:
    """The first address of a host name; raises ConfigError when it has none."""
    try:
        return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigError(f"{name!r} has no address: {error.strerror}", hint=HINT) from error


def look_up_all(names: Iterable[str]) -> dict[str, str]:
    """The addresses of host names; raises ConfigError with every one that has none."""
    found, problems = {}, []
    for name in names:
        try:
            found[name] = look_up(name)
        except ConfigError as error:
            problems.append(error.message)
    if problems:
        raise ConfigError("names in the cluster's configuration are not known", problems=tuple(problems), hint=HINT)
    return found


def cache_text(cluster: ClusterConfig, addresses: dict[str, str]) -> bytes:
    """What is kept: it counts only together with this very configuration."""
    return json.dumps({"signature": cluster.signature, "addresses": addresses}, indent=1).encode() + b"\n"


def cached_addresses(cluster: ClusterConfig, directory: Path) -> dict[str, str]:
    """What the names meant when this configuration was applied; empty when that is not known."""
    try:
        with (directory / CACHE_FILE).open("rb") as file:
            body = json.loads(file.read(CACHE_BYTES_MAX))
        if body["signature"] != cluster.signature:
            return {}
        return {str(name): str(address) for name, address in body["addresses"].items() if is_address(str(address))}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
