"""The vip service with a real kernel: two nodes and a client on one bridge, each in its own network namespace."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from holdfast.events.module import AddressesReported, HoldAddresses, VirtualAddress
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess, run_with_bus

pytestmark = pytest.mark.root

CLONE_NEWNET = 0x40000000
V4, V6 = "10.99.0.50", "fd99::50"
BOTH = (VirtualAddress(address=V4), VirtualAddress(address=V6))
RIVAL_MAC = "02:99:00:00:00:02"
PREPARE = """
ip link set lo up
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
ip link add br0 type bridge && ip link set br0 up
ip addr add 10.99.0.9/24 dev br0 && ip -6 addr add fd99::9/64 dev br0 nodad
ip link add node1 type veth peer name eth0 netns {node} && ip link set node1 master br0 up
ip link add node2 type veth peer name eth0 netns {rival} && ip link set node2 master br0 up
"""
NODE = """
ip link set lo up
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0
ip link set eth0 address 02:99:00:00:00:0{number} up
ip addr add 10.99.0.{number}/24 dev eth0 && ip -6 addr add fd99::{number}/64 dev eth0 nodad
ip route add default via 10.99.0.9
"""


def sh(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True, timeout=20, stdin=subprocess.DEVNULL)


class Net:
    """The three namespaces. `node` is that of the calling thread; the others are held by sleeping processes."""

    def __init__(self) -> None:
        self._holders = [subprocess.Popen(["unshare", "--net", "sleep", "600"]) for _ in range(2)]
        for holder in self._holders:
            self._wait_for_namespace(holder.pid)
        self.client, self.rival = (holder.pid for holder in self._holders)
        try:
            node = threading.get_native_id()
            self.run(self.client, PREPARE.format(node=node, rival=self.rival))
            sh(NODE.format(number=1))
            self.run(self.rival, NODE.format(number=2))
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def _wait_for_namespace(pid: int) -> None:
        here = os.readlink("/proc/thread-self/ns/net")
        while os.readlink(f"/proc/{pid}/ns/net") == here:
            os.sched_yield()

    @staticmethod
    def run(pid: int, script: str) -> str:
        command = ["nsenter", "-t", str(pid), "-n", "sh", "-ec", script]
        done = subprocess.run(command, check=True, timeout=20, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.stdout

    def neighbour(self, address: str) -> str:
        """The hardware address that the client has in its table."""
        found = json.loads(self.run(self.client, f"ip -j neigh show {address}"))
        return str(found[0].get("lladdr", "")) if found else ""

    def connect(self, address: str) -> subprocess.Popen[bytes]:
        """A client that connects and says how its connection ended."""
        command = ["nsenter", "-t", str(self.client), "-n", sys.executable, "-c", CLIENT, address]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def ping(self, address: str) -> None:
        self.run(self.client, f"ping -c 1 -W 2 {address} >/dev/null")

    def remove(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()


def addresses() -> dict[str, dict[str, Any]]:
    """Addresses of eth0 in this thread's namespace."""
    shown = subprocess.run(["ip", "-j", "addr", "show", "dev", "eth0"], check=True, capture_output=True, timeout=20)
    return {each["local"]: each for each in json.loads(shown.stdout)[0]["addr_info"]}


class Stage:
    """What a scenario works with."""

    def __init__(self, net: Net, place: NodePlace, listener: Listener, vip: ServiceProcess) -> None:
        self.net, self.place, self.listener, self.vip = net, place, listener, vip

    async def hold(self, *wanted: VirtualAddress, held: bool = True) -> AddressesReported:
        self.listener.forget()
        await self.listener.order("shop", "vip", HoldAddresses(addresses=wanted, held=held))
        return await self.listener.wait_for(AddressesReported, lambda report: report.held == held)

    async def restart(self) -> None:
        self.listener.forget()
        self.vip.start()
        await self.listener.service_started("vip")


def play(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a scenario in a thread of its own that lives in a network namespace of its own, as its children do."""
    failures: list[BaseException] = []

    def whole() -> None:
        assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0, "unshare(2) needs root"
        net = Net()
        place = NodePlace("node1")
        vip = ServiceProcess(place, "services.vip")

        async def with_bus(listener: Listener, _server: NatsServer) -> None:
            vip.start()
            await listener.service_started("vip")
            await scenario(Stage(net, place, listener, vip))

        try:
            run_with_bus(place, with_bus)
        finally:
            vip.kill()
            place.remove()
            net.remove()

    def guarded() -> None:
        try:
            whole()
        except BaseException as error:  # noqa: BLE001  carried over to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_client_sees_the_addresses_move_and_its_connections_reset() -> None:
    """A client that knew the old owner talks to the new one at once, and is told when that one lets go."""

    async def scenario(stage: Stage) -> None:
        net = stage.net
        net.run(net.rival, f"ip addr add {V4}/24 dev eth0; ip -6 addr add {V6}/64 dev eth0 nodad")
        for address in (V4, V6):
            net.ping(address)
            assert net.neighbour(address) == RIVAL_MAC
        net.run(net.rival, f"ip addr del {V4}/24 dev eth0; ip -6 addr del {V6}/64 dev eth0")
        report = await stage.hold(*BOTH)
        assert report == AddressesReported(held=True, present=(V4, V6))
        for address in (V4, V6):
            assert net.neighbour(address) == "02:99:00:00:00:01"
            net.ping(address)
        with socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            clients = [net.connect(address) for address in (V4, V6)]
            accepted = [await asyncio.to_thread(server.accept) for _ in clients]
            released = await stage.hold(*BOTH, held=False)
            assert released == AddressesReported(held=False, present=())
            said = [client.communicate(timeout=20)[0] for client in clients]
            for connection, _ in accepted:
                connection.close()
        assert said == [b"reset\n", b"reset\n"]
        assert V4 not in addresses()

    play(scenario)


CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 8080), timeout=15)
try:
    connection.recv(1)
except ConnectionResetError:
    print("reset", flush=True)
"""


def test_a_killed_service_keeps_the_addresses_and_its_next_life_knows_them() -> None:
    """They live in the kernel; a release after the restart removes them."""

    async def scenario(stage: Stage) -> None:
        await stage.hold(*BOTH)
        stage.vip.kill()
        assert {V4, V6} <= set(addresses())
        await stage.restart()
        assert {V4, V6} <= set(addresses())
        assert (await stage.hold(*BOTH)).present == (V4, V6)
        await stage.hold(*BOTH, held=False)
        assert not {V4, V6} & set(addresses())
        assert "10.99.0.1" in addresses()

    play(scenario)


def test_addresses_whose_record_was_lost_are_still_known_as_ours() -> None:
    """The kernel remembers who added them."""

    async def scenario(stage: Stage) -> None:
        await stage.hold(*BOTH)
        stage.vip.kill()
        (stage.place.run_dir / "vip.json").write_text("rubbish")
        await stage.restart()
        await stage.hold(*BOTH, held=False)
        assert not {V4, V6} & set(addresses())

    play(scenario)


def test_an_address_that_somebody_removes_comes_back_at_once() -> None:
    """With its announcement, so that clients go on."""

    async def scenario(stage: Stage) -> None:
        await stage.hold(*BOTH)
        stage.listener.forget()
        sh(f"ip addr del {V4}/24 dev eth0")
        await stage.listener.wait_for(AddressesReported, lambda report: report.present == (V4, V6))
        assert V4 in addresses()

    play(scenario)


def test_another_owner_is_reported_and_the_address_is_taken_all_the_same() -> None:
    """The right to hold it was decided elsewhere; an administrator wants to know."""

    async def scenario(stage: Stage) -> None:
        stage.net.run(stage.net.rival, f"ip addr add {V4}/24 dev eth0; ip -6 addr add {V6}/64 dev eth0 nodad")
        await stage.hold(*BOTH)
        report = await stage.listener.wait_for(AddressesReported, lambda report: len(report.conflicts) == 2)
        assert report.held
        assert f"{V4} is also claimed by {RIVAL_MAC}" in report.problem
        assert f"{V6} is also claimed by {RIVAL_MAC}" in report.problem

    play(scenario)


@pytest.mark.parametrize("node_goes_on", [True, False])
def test_sigterm_lets_go_only_when_the_node_ends(node_goes_on: bool) -> None:
    """A restarted service changes nothing outside; a node whose supervisor is gone gives the addresses up."""

    async def scenario(stage: Stage) -> None:
        await stage.hold(*BOTH)
        lifeline = socket.create_server(("127.0.0.1", stage.place.settings.lifeline_port)) if node_goes_on else None
        assert stage.vip.stop() == 0
        assert ({V4, V6} <= set(addresses())) == node_goes_on
        if lifeline is not None:
            lifeline.close()

    play(scenario)


def test_one_side_makes_outgoing_connections_carry_the_address() -> None:
    """And the routes are as before when it is let go, also after a kill in between."""

    async def scenario(stage: Stage) -> None:
        def routes() -> str:
            return subprocess.run(["ip", "route"], check=True, capture_output=True, text=True, timeout=20).stdout

        def source(target: str) -> str:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                return str(probe.getsockname()[0])

        before = routes()
        wanted = VirtualAddress(address=V4, primary_address=True)
        await stage.hold(wanted)
        assert (source("10.99.0.9"), source("192.0.2.1")) == (V4, V4)
        sh(f"ip addr del {V4}/24 dev eth0")
        await stage.listener.wait_for(AddressesReported, lambda report: report.held)
        stage.vip.kill()
        await stage.restart()
        await stage.hold(wanted)
        assert (source("10.99.0.9"), source("192.0.2.1")) == (V4, V4)
        await stage.hold(wanted, held=False)
        assert source("10.99.0.9") == "10.99.0.1"
        assert sorted(routes().split("\n")) == sorted(before.split("\n"))

    play(scenario)


def test_an_address_waits_for_its_network_and_is_taken_when_it_comes() -> None:
    """An interface that appears late is used at once; until then the problem is told in words."""

    async def scenario(stage: Stage) -> None:
        order = HoldAddresses(addresses=(VirtualAddress(address="10.98.0.50"),), held=True)
        await stage.listener.order("shop", "vip", order)
        report = await stage.listener.wait_for(AddressesReported)
        assert not report.held
        assert "no interface of this node is in its network" in report.problem
        sh("ip addr add 10.98.0.1/24 dev eth0")
        await stage.listener.wait_for(AddressesReported, lambda report: report.held)

    play(scenario)


def test_a_module_without_addresses_holds_them_all() -> None:
    """Nothing to do is done."""

    async def scenario(stage: Stage) -> None:
        assert (await stage.hold()).present == ()

    play(scenario)
