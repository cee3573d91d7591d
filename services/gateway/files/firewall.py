"""The node's own firewall table: who may reach the ports by which nodes speak to each other (nftables).

A table of our own can close ports, and never open what another table closes: each packet has to pass every base chain
(nft(8), "verdict statements"). So the table lets nobody but the cluster's nodes reach these ports, and the rules that
open them are printed for whoever keeps the machine's firewall.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from holdfast.config.agreement import resolve_cluster
from holdfast.config.names import cached_addresses
from holdfast.errors import ConfigError, EnvironmentFaultError
from holdfast.settings import NodeSettings

from services.gateway.files.cluster import read_cluster
from services.gateway.files.modules import names
from services.gateway.files.port_list import PortUse, ports_of_module, ports_of_node

TABLE = "holdfast"
FAMILY = "inet"
PRIORITY = -10
"""Before the chains of other firewalls, which usually stand at 0 (nft(8), "filter")."""
BETWEEN_NODES = frozenset({"safeadmin", "heart", "rfs", "farm"})
"""Who uses ports that only the nodes need. The gateway's is for load balancers and operators, too."""
NFT_S_MAX = 20.0


def node_uses(settings: NodeSettings) -> tuple[PortUse, ...]:
    """The ports of this node and of all its modules."""
    found = [use for module in names(settings) for use in ports_of_module(settings, module)]
    return tuple(dict.fromkeys([*ports_of_node(settings), *found]))


def node_addresses(settings: NodeSettings) -> tuple[str, ...]:
    """Every address of every node, as the others see it."""
    cluster = read_cluster(settings)
    known = cached_addresses(cluster, settings.config_dir)
    resolved = resolve_cluster(cluster, lambda name: known.get(name, name))
    texts = {node.address for lan in resolved.lans for node in lan.nodes}
    texts |= {node.local_address for lan in resolved.lans for node in lan.nodes if node.local_address}
    try:
        return tuple(str(address) for address in sorted(map(ip_address, texts), key=lambda each: (each.version, each)))
    except ValueError as error:
        raise ConfigError(f"the cluster has a name without address: {error}", hint="holdfast cluster config") from error


def table_text(uses: Iterable[PortUse], addresses: Iterable[str]) -> str:
    """The whole table, for `nft -f`."""
    closed = [use for use in uses if use.process in BETWEEN_NODES]
    lines = [f"table {FAMILY} {TABLE} {{", "\tchain input {"]
    lines.append(f"\t\ttype filter hook input priority {PRIORITY}; policy accept;")
    lines.append('\t\tiifname "lo" accept')
    known = list(addresses)
    for protocol in ("tcp", "udp"):
        ports = sorted({use.port for use in closed if use.protocol.lower() == protocol})
        if not ports:
            continue
        listed = ", ".join(map(str, ports))
        for version, family in ((4, "ip"), (6, "ip6")):
            nodes = ", ".join(each for each in known if ip_address(each).version == version)
            if nodes:
                lines.append(f"\t\t{family} saddr {{ {nodes} }} {protocol} dport {{ {listed} }} accept")
        lines.append(f"\t\t{protocol} dport {{ {listed} }} counter drop")
    return "\n".join([*lines, "\t}", "}", ""])


def opening_rules(uses: Iterable[PortUse]) -> str:
    """Rules, one a line, that open the ports in the chain of a firewall that drops by default."""
    ports: dict[tuple[str, int], list[str]] = {}
    for use in uses:
        ports.setdefault((use.protocol.lower(), use.port), []).append(use.process)
    return "".join(
        f'{protocol} dport {port} accept comment "holdfast {" ".join(sorted(set(processes)))}"\n'
        for (protocol, port), processes in sorted(ports.items())
    )


def apply_table(text: str) -> tuple[str, ...]:
    """Put the table in force in one step, in the place of an older one; return who may still drop the packets.

    Raises EnvironmentFaultError when nft refuses it.
    """
    _nft(("-f", "-"), f"add table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n{text}")
    return dropping_chains(_nft(("-j", "list", "chains"), ""))


def remove_table() -> None:
    """Take the table away; one that is not there is let be."""
    _nft(("-f", "-"), f"add table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\n")


def dropping_chains(listed: str) -> tuple[str, ...]:
    """The base chains of other tables that drop what comes in by default, from nft's list as JSON."""
    entries = json.loads(listed).get("nftables", [])
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    return tuple(
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "input" and chain.get("policy") == "drop" and chain["table"] != TABLE
    )


def _nft(words: Sequence[str], text: str) -> str:
    try:
        done = subprocess.run(
            ["nft", *words], input=text, capture_output=True, text=True, timeout=NFT_S_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFaultError(f"nft cannot be run: {error}", hint="install nftables") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise EnvironmentFaultError(f"nft: {said[0] if said else done.returncode}", hint="become root")
    return done.stdout
