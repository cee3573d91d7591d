"""Names and addresses of a lab."""

from __future__ import annotations

import pytest
from holdfast.lab import addressing, links
from holdfast.lab.addressing import LanName, NodeName
from holdfast.lab.errors import LabUsageError

LAN1, LAN2 = LanName("lan1"), LanName("lan2")


def test_node_has_the_same_host_number_on_every_lan() -> None:
    first = addressing.node_endpoint(LAN1, NodeName("node2"))
    second = addressing.node_endpoint(LAN2, NodeName("node2"))
    assert (str(first.ipv4), str(first.ipv6)) == ("10.77.1.12/24", "fd77:0:0:1::12/64")
    assert (str(second.ipv4), str(second.ipv6)) == ("10.77.2.12/24", "fd77:0:0:2::12/64")


def test_hardware_addresses_are_local_and_unique() -> None:
    lans = addressing.lan_names(addressing.LANS_MAX)
    nodes = addressing.node_names(addressing.NODES_MAX)
    macs = [addressing.node_endpoint(lan, node).mac for lan in lans for node in nodes]
    macs.append(addressing.client_endpoint().mac)
    assert len(set(macs)) == len(macs)
    assert all(mac.startswith("02:") for mac in macs)


def test_port_names_fit_the_kernel() -> None:
    lan = addressing.lan_names(addressing.LANS_MAX)[-1]
    node = addressing.node_names(addressing.NODES_MAX)[-1]
    assert len(addressing.port_name(lan, node)) <= 15
    assert len(addressing.port_name(lan, "client")) <= 15


def test_virtual_addresses_belong_to_nobody() -> None:
    taken = {addressing.node_endpoint(LAN1, node).ipv4 for node in addressing.node_names(addressing.NODES_MAX)} | {
        addressing.client_endpoint().ipv4
    }
    assert addressing.virtual_address() not in taken
    assert str(addressing.virtual_address6(2)) == "fd77:0:0:1::102/64"


def test_hosts_file_names_every_node_once_on_the_first_lan() -> None:
    text = addressing.hosts_file(addressing.node_names(2), addressing.lan_names(2))
    assert text.splitlines()[2:] == [
        "10.77.1.11 node1 node1-lan1",
        "10.77.1.12 node2 node2-lan1",
        "10.77.2.11 node1-lan2",
        "10.77.2.12 node2-lan2",
    ]


@pytest.mark.parametrize("text", ["", "A", "1st", "a_b", "x" * 25, "../up", "a b", "a\n"])
def test_lab_name_that_could_not_be_a_file_name_is_refused(text: str) -> None:
    with pytest.raises(LabUsageError, match="not a name for a lab"):
        addressing.lab_name(text)


@pytest.mark.parametrize("count", [0, -1, addressing.NODES_MAX + 1])
def test_number_of_nodes_outside_the_limits_is_refused(count: int) -> None:
    with pytest.raises(LabUsageError):
        addressing.node_names(count)


@pytest.mark.parametrize("count", [0, addressing.LANS_MAX + 1])
def test_number_of_lans_outside_the_limits_is_refused(count: int) -> None:
    with pytest.raises(LabUsageError):
        addressing.lan_names(count)


def test_cable_is_made_with_its_port_as_wanted() -> None:
    endpoint = addressing.node_endpoint(LAN1, NodeName("node1"))
    assert links.render_cable(endpoint, LAN1, peer_pid=7, plugged=False) == (
        "link add lan1-node1 type veth peer name lan1 address 02:77:00:00:01:0b netns 7\n"
        "link set lan1-node1 master lan1 down\n"
    )


def test_interfaces_come_up_with_both_families() -> None:
    text = links.render_interfaces([addressing.client_endpoint()])
    assert text == (
        "link set lo up\n"
        "link set lan1 up\n"
        "addr add 10.77.1.1/24 broadcast + dev lan1\n"
        "addr add fd77:0:0:1::1/64 dev lan1 nodad\n"
    )


def test_switches_forward_at_once() -> None:
    text = links.render_switches([LAN1])
    assert "link add lan1 type bridge forward_delay 0 stp_state 0 mcast_snooping 0\n" in text
