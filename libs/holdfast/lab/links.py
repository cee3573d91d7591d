"""What the `ip` command is told, as batch text (ip -batch). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.lab.addressing import Endpoint, LanName


def render_switches(lans: Iterable[LanName]) -> str:
    """One bridge for each lan, without spanning tree and without multicast snooping.

    Both would delay the first packets after a port comes up, which no lab wants to measure.
    """
    lines = ["link set lo up"]
    for lan in lans:
        lines.append(f"link add {lan} type bridge forward_delay 0 stp_state 0 mcast_snooping 0")
        lines.append(f"link set {lan} up")
    return _batch(lines)


def render_cable(endpoint: Endpoint, lan: LanName, *, peer_pid: int, plugged: bool) -> str:
    """A cable from the switch to the network namespace of a process; run in the switch's namespace."""
    port = endpoint.port
    return _batch(
        [
            f"link add {port} type veth peer name {endpoint.interface} address {endpoint.mac} netns {peer_pid}",
            f"link set {port} master {lan} {'up' if plugged else 'down'}",
        ]
    )


def render_interfaces(endpoints: Iterable[Endpoint]) -> str:
    """The node's (or client's) side of its cables.

    `nodad`: nobody else has these addresses, so that they can be used at once (RFC 4862, 5.4, waits a
    second).
    """
    lines = ["link set lo up"]
    for endpoint in endpoints:
        lines.append(f"link set {endpoint.interface} up")
        lines.append(f"addr add {endpoint.ipv4} broadcast + dev {endpoint.interface}")
        lines.append(f"addr add {endpoint.ipv6} dev {endpoint.interface} nodad")
    return _batch(lines)


def render_ports(ports: Iterable[str], *, up: bool) -> str:
    """Switch ports up or down."""
    return _batch(f"link set {port} {'up' if up else 'down'}" for port in ports)


def render_removal(ports: Iterable[str]) -> str:
    """Cables taken away; run with -force, since a cable may be gone with its other end."""
    return _batch(f"link del {port}" for port in ports)


def _batch(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
