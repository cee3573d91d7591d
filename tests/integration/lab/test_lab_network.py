"""Cuts and cables of a lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from holdfast.lab.cuts import Direction
from holdfast.lab.lab import Lab
from holdfast.lab.node import Node
from holdfast.lab.place import Place, kill_group

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _healed(lab: Lab) -> Iterator[None]:
    yield
    lab.heal()
    for node in lab.nodes:
        lab.plug(node.name)


def reaches(place: Place, address: object) -> bool:
    """Whether a packet goes there and another comes back."""
    return place.run(["ping", "-c1", "-W1", str(address)], check=False).returncode == 0


def datagram_arrives(sender: Node, receiver: Node, lan: str) -> bool:
    """Whether one datagram arrives, whatever becomes of an answer; neighbours are entered by hand."""
    for one, other in ((sender, receiver), (receiver, sender)):
        mac = other.run(["cat", f"/sys/class/net/{lan}/address"]).stdout.strip()
        one.run(["ip", "neigh", "replace", str(other.ipv4(lan)), "lladdr", mac, "dev", lan])
    listen = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4000));"
        "print('ready', flush=True); s.settimeout(0.5); print(s.recv(9))"
    )
    listener = receiver.popen(["python3", "-c", listen])
    try:
        assert listener.stdout is not None
        listener.stdout.readline()
        send = f"import socket; socket.socket(2, 2).sendto(b'hello', ('{receiver.ipv4(lan)}', 4000))"
        sender.run(["python3", "-c", send])
        return listener.wait(timeout=10) == 0
    finally:
        kill_group(listener)


def test_all_reach_each_other_by_both_families(lab: Lab) -> None:
    node1, node2 = lab.nodes
    assert reaches(node1, node2.ipv4("lan1"))
    assert reaches(node1, node2.ipv4("lan2"))
    assert reaches(node1, node2.ipv6("lan2"))
    assert reaches(node1, "node2")
    assert reaches(lab.client, node1.ipv4())
    assert reaches(lab.client, node1.ipv6())


def test_client_is_not_on_the_second_lan(lab: Lab) -> None:
    assert not reaches(lab.client, lab.node("node1").ipv4("lan2"))


def test_cut_lan_is_cut_and_the_other_is_not(lab: Lab) -> None:
    node1, node2 = lab.nodes
    lab.cut("node1", lan="lan2")
    assert not reaches(node1, node2.ipv4("lan2"))
    assert reaches(node1, node2.ipv4("lan1"))
    assert node1.run(["cat", "/sys/class/net/lan2/carrier"]).stdout == "1\n"
    lab.heal("node1")
    assert reaches(node1, node2.ipv4("lan2"))


def test_one_way_cut_loses_one_way_only(lab: Lab) -> None:
    node1, node2 = lab.nodes
    lab.cut("node1", lan="lan1", direction=Direction.OUT)
    assert not datagram_arrives(node1, node2, "lan1")
    assert datagram_arrives(node2, node1, "lan1")


def test_heal_of_one_node_leaves_the_cut_of_another(lab: Lab) -> None:
    node1, node2 = lab.nodes
    lab.cut("node1")
    lab.cut("node2")
    lab.heal("node1")
    assert reaches(lab.client, node1.ipv4())
    assert not reaches(lab.client, node2.ipv4())


def test_cut_outlives_a_power_cycle(lab: Lab) -> None:
    node1 = lab.node("node1")
    lab.cut("node1")
    node1.kill()
    node1.start()
    assert not reaches(lab.client, node1.ipv4())


def test_unplugged_node_sees_its_carrier_go_and_come(lab: Lab) -> None:
    node1 = lab.node("node1")
    carrier = ["cat", "/sys/class/net/lan1/carrier"]
    lab.unplug("node1", lan="lan1")
    assert node1.run(carrier).stdout == "0\n"
    assert node1.run(["cat", "/sys/class/net/lan2/carrier"]).stdout == "1\n"
    lab.plug("node1", lan="lan1")
    assert node1.run(carrier).stdout == "1\n"
    assert reaches(lab.client, node1.ipv4())


def test_node_started_unplugged_stays_unplugged(lab: Lab) -> None:
    node1 = lab.node("node1")
    node1.kill()
    lab.unplug("node1", lan="lan1")
    node1.start()
    assert node1.run(["cat", "/sys/class/net/lan1/carrier"]).stdout == "0\n"
