"""The network of a lab: switches and client, and the cables of the nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from holdfast.lab import links, namespace
from holdfast.lab.addressing import CLIENT_LAN, LanName, NodeName, client_endpoint, node_endpoint, port_name
from holdfast.lab.cuts import Cut, render
from holdfast.lab.errors import LabError
from holdfast.lab.process import ProcessMark, is_alive
from holdfast.lab.state import LabState

_BATCH: Final = ("ip", "-batch", "-")
_BATCH_FORCED: Final = ("ip", "-force", "-batch", "-")


def make_switch(state: LabState) -> ProcessMark:
    """The namespace with one bridge for each lan."""
    switch = namespace.hold(f"holdfast-lab:{state.name}:switch", ["net"], state.directory)
    namespace.run_in_network(switch, _BATCH, links.render_switches(state.lans))
    return switch


def make_client(state: LabState) -> ProcessMark:
    """The client, on the first lan, under the host name `client`."""
    client = namespace.hold(f"holdfast-lab:{state.name}:client", ["net", "uts"], state.directory)
    namespace.run_in_uts(client, ["hostname", "client"])
    cable = links.render_cable(client_endpoint(), CLIENT_LAN, peer_pid=client.pid, plugged=True)
    namespace.run_in_network(switch_of(state), _BATCH, cable)
    namespace.run_in_network(client, _BATCH, links.render_interfaces([client_endpoint()]))
    return client


def make_node_network(state: LabState, node: NodeName) -> ProcessMark:
    """A new network namespace for a node, with its cables; those of an earlier one are taken away."""
    switch = switch_of(state)
    ports = [port_name(lan, node) for lan in state.lans]
    namespace.run_in_network(switch, _BATCH_FORCED, links.render_removal(ports), may_fail=True)
    net = namespace.hold(f"holdfast-lab:{state.name}:{node}", ["net"], state.directory)
    unplugged = state.node(node).unplugged
    cables = "".join(
        links.render_cable(node_endpoint(lan, node), lan, peer_pid=net.pid, plugged=lan not in unplugged)
        for lan in state.lans
    )
    namespace.run_in_network(switch, _BATCH, cables)
    endpoints = [node_endpoint(lan, node) for lan in state.lans]
    namespace.run_in_network(net, _BATCH, links.render_interfaces(endpoints))
    return net


def set_ports(state: LabState, node: NodeName, lans: Iterable[LanName], *, up: bool) -> None:
    """Set switch ports of a node up or down; the node sees its carrier come or go."""
    text = links.render_ports([port_name(lan, node) for lan in lans], up=up)
    namespace.run_in_network(switch_of(state), _BATCH, text)


def apply_cuts(state: LabState, cuts: Iterable[Cut]) -> None:
    """Make exactly these cuts."""
    namespace.run_in_network(switch_of(state), ["nft", "-f", "-"], render(cuts))


def switch_of(state: LabState) -> ProcessMark:
    """The process that holds the switch; raises LabError when it is gone."""
    if state.switch is None or not is_alive(state.switch):
        raise LabError(f"the switch of lab {state.name} is gone", hint="holdfast lab down, then up")
    return state.switch
