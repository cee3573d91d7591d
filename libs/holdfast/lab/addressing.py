"""Names and addresses of everything in a lab. Pure.

Every lab has its own switches, connected to nothing outside, so all labs use the same addresses: an example
in a document is right in any of them.

    lan1   10.77.1.0/24   fd77:0:0:1::/64   nodes, client, virtual addresses
    lan2   10.77.2.0/24   fd77:0:0:2::/64   nodes only
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Final, NewType

from holdfast.lab.errors import LabUsageError

LabName = NewType("LabName", str)
NodeName = NewType("NodeName", str)
LanName = NewType("LanName", str)

DEFAULT_LAB: Final = LabName("lab")
CLIENT_LAN: Final = LanName("lan1")
"""The lan that the client is attached to, and that carries virtual addresses."""

NODES_MAX: Final = 32
"""Host numbers 11 to 42: below the virtual addresses, which start at 100."""
LANS_MAX: Final = 4
"""More networks than any documented cluster uses; keeps port names within the kernel's 15 characters."""
NODE_HOST_BASE: Final = 10
CLIENT_HOST: Final = 1
VIRTUAL_HOST_BASE: Final = 100

_LAB_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,23}")
_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 64


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One end of a cable: an interface with its addresses and its port on the switch."""

    interface: str
    port: str
    mac: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface


def lab_name(text: str) -> LabName:
    """Check the name of a lab; raises LabUsageError."""
    if not _LAB_NAME.fullmatch(text):
        raise LabUsageError(
            f"{text!r} is not a name for a lab",
            hint="a small letter, then up to 23 small letters, digits or dashes",
        )
    return LabName(text)


def node_names(count: int) -> tuple[NodeName, ...]:
    """The names of `count` nodes: node1, node2, …; raises LabUsageError."""
    if not 1 <= count <= NODES_MAX:
        raise LabUsageError(f"a lab cannot have {count} nodes", hint=f"1 to {NODES_MAX}")
    return tuple(NodeName(f"node{number}") for number in range(1, count + 1))


def lan_names(count: int) -> tuple[LanName, ...]:
    """The names of `count` lans: lan1, lan2, …; raises LabUsageError."""
    if not 1 <= count <= LANS_MAX:
        raise LabUsageError(f"a lab cannot have {count} lans", hint=f"1 to {LANS_MAX}")
    return tuple(LanName(f"lan{number}") for number in range(1, count + 1))


def port_name(lan: LanName, owner: str) -> str:
    """The switch port of a node or the client: lan1-node2."""
    return f"{lan}-{owner}"


def node_endpoint(lan: LanName, node: NodeName) -> Endpoint:
    """The cable between a node and a lan."""
    return _endpoint(lan, owner=node, host=NODE_HOST_BASE + _number(node))


def client_endpoint(lan: LanName = CLIENT_LAN) -> Endpoint:
    """The cable between the client and a lan."""
    return _endpoint(lan, owner="client", host=CLIENT_HOST)


def virtual_address(number: int = 1, lan: LanName = CLIENT_LAN) -> IPv4Interface:
    """The n-th address set aside for virtual addresses: 10.77.1.101/24 for the first."""
    return IPv4Interface(f"10.77.{_number(lan)}.{VIRTUAL_HOST_BASE + number}/{_IPV4_PREFIX}")


def virtual_address6(number: int = 1, lan: LanName = CLIENT_LAN) -> IPv6Interface:
    """The n-th IPv6 address set aside for virtual addresses: fd77:0:0:1::101/64 for the first."""
    interface = ip_interface(f"fd77:0:0:{_number(lan)}::{VIRTUAL_HOST_BASE + number}/{_IPV6_PREFIX}")
    assert isinstance(interface, IPv6Interface)
    return interface


def hosts_file(nodes: Iterable[NodeName], lans: Iterable[LanName]) -> str:
    """The text of /etc/hosts in a node: every node by name on the first lan, and by node-lan on each."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    for position, lan in enumerate(lans):
        for node in nodes:
            names = f"{node} {node}-{lan}" if position == 0 else f"{node}-{lan}"
            lines.append(f"{node_endpoint(lan, node).ipv4.ip} {names}")
    return "\n".join(lines) + "\n"


def _endpoint(lan: LanName, *, owner: str, host: int) -> Endpoint:
    number = _number(lan)
    return Endpoint(
        interface=lan,
        port=port_name(lan, owner),
        # The second-lowest bit of the first octet marks a locally administered address (IEEE 802).
        mac=f"02:77:00:00:{number:02x}:{host:02x}",
        ipv4=IPv4Interface(f"10.77.{number}.{host}/{_IPV4_PREFIX}"),
        ipv6=IPv6Interface(f"fd77:0:0:{number}::{host}/{_IPV6_PREFIX}"),
    )


def _number(name: str) -> int:
    """The number at the end of node3 or lan2."""
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
