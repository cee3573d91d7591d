"""Checkers ping, intf and ip with a real kernel: interfaces, addresses and neighbours in network namespaces."""

from __future__ import annotations

import asyncio

import pytest
from holdfast.events.module import AddressWatch, InterfaceWatch, PingWatch, ReportFacts, WatchResources

from tests.integration.checkers.checker_stage import NEIGHBOUR, NEIGHBOUR_6, NODE, NODE_6, Stage, play, sh

pytestmark = pytest.mark.root

VIRTUAL, VIRTUAL_6 = "10.98.0.50", "fd98::50"


def ping(address: str, **more: int) -> WatchResources:
    return WatchResources(ping=(PingWatch(ident="gate", address=address, interval_ms=50, timeout_ms=300, **more),))


@pytest.mark.parametrize("address", [NEIGHBOUR, NEIGHBOUR_6])
@pytest.mark.parametrize("groups", ["0 2147483647", "1 0"], ids=["datagram", "raw"])
def test_ping_follows_a_neighbour_that_goes_and_comes_back(address: str, groups: str) -> None:
    async def scenario(stage: Stage) -> None:
        sh(f"sysctl -qw net.ipv4.ping_group_range='{groups}'")
        await stage.watch(ping(address))
        fact = await stage.reported("ping.gate", "up")
        assert (fact.action, fact.by) == ("wait", "checker-ping")
        stage.neighbour("ip link set eth0 down")
        await stage.reported("ping.gate", "down")
        stage.listener.forget()
        stage.neighbour("ip link set eth0 up; ip -6 addr replace fd98::2/64 dev eth0 nodad")
        await stage.reported("ping.gate", "up")

    play("ping", scenario)


def test_ping_of_an_address_without_a_route_is_down() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(ping("192.0.2.1"))
        await stage.reported("ping.gate", "down")

    play("ping", scenario)


def test_ping_looks_a_host_name_up_and_a_name_nobody_knows_is_down() -> None:
    async def scenario(stage: Stage) -> None:
        known = PingWatch(ident="known", address="localhost", interval_ms=50, timeout_ms=3000)
        unknown = PingWatch(ident="unknown", address="nobody.invalid", interval_ms=50, timeout_ms=300)
        await stage.watch(WatchResources(ping=(known, unknown)))
        await stage.reported("ping.known", "up")
        await stage.reported("ping.unknown", "down")

    play("ping", scenario)


def test_killed_ping_checker_goes_on_when_its_order_is_repeated() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(ping(NEIGHBOUR))
        await stage.reported("ping.gate", "up")
        await stage.kill_and_restart()
        await stage.watch(ping(NEIGHBOUR))
        await stage.reported("ping.gate", "up")

    play("ping", scenario)


def intf(**named: str) -> WatchResources:
    return WatchResources(interfaces=(InterfaceWatch(ident="net", **named),))


@pytest.mark.parametrize(
    "named",
    [{"interface": "eth0"}, {"address": NODE}, {"address": VIRTUAL}, {"address": VIRTUAL_6}],
    ids=["by name", "by own address", "by network", "by IPv6 network"],
)
def test_interface_that_is_set_down_is_reported_and_its_return_too(named: dict[str, str]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(intf(**named))
        assert (await stage.reported("intf.net", "up")).action == "wait"
        sh("ip link set eth0 down")
        await stage.reported("intf.net", "down")
        stage.listener.forget()
        sh(f"ip link set eth0 up; ip -6 addr replace {NODE_6}/64 dev eth0 nodad")
        await stage.reported("intf.net", "up")

    play("intf", scenario)


def test_lost_carrier_counts_although_the_interface_is_up() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(intf(interface="eth0"))
        await stage.reported("intf.net", "up")
        stage.neighbour("ip link set eth0 down")
        await stage.reported("intf.net", "down")
        stage.listener.forget()
        stage.neighbour("ip link set eth0 up")
        await stage.reported("intf.net", "up")

    play("intf", scenario)


def test_interface_that_does_not_exist_is_down_until_it_does() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(intf(interface="br0"))
        await stage.reported("intf.net", "down")
        sh("ip link add br0 type bridge && ip link set br0 up")
        await stage.reported("intf.net", "up")

    play("intf", scenario)


def test_flood_of_changes_loses_nothing_that_matters() -> None:
    """More notifications than a socket's buffer holds: what was lost is read again."""

    async def scenario(stage: Stage) -> None:
        await stage.watch(intf(interface="eth0"))
        await stage.reported("intf.net", "up")
        lines = [f"link add d{number} type bridge\nlink set d{number} up" for number in range(100)]
        flood = asyncio.to_thread(sh, "ip -batch - <<END\n" + "\n".join([*lines, "link set eth0 down"]) + "\nEND")
        await asyncio.gather(flood, stage.reported("intf.net", "down"))

    play("intf", scenario)


def ip(address: str, **more: int) -> WatchResources:
    return WatchResources(addresses=(AddressWatch(ident=address, address=address, interval_ms=100, **more),))


def take(address: str) -> str:
    prefix, flag = (64, "nodad") if ":" in address else (24, "")
    return f"ip addr add {address}/{prefix} dev eth0 {flag}"


def drop(address: str) -> str:
    return take(address).replace(" add ", " del ").replace(" nodad", "")


@pytest.mark.parametrize("address", [VIRTUAL, VIRTUAL_6])
def test_address_that_stays_away_is_down_and_up_again_when_it_returns(address: str) -> None:
    async def scenario(stage: Stage) -> None:
        sh(take(address))
        await stage.watch(ip(address))
        await stage.reported(f"ip.{address}", "up")
        sh(drop(address))
        fact = await stage.reported(f"ip.{address}", "down")
        assert (fact.action, fact.by) == ("stopstart", "checker-ip")
        stage.listener.forget()
        sh(take(address))
        await stage.reported(f"ip.{address}", "up")

    play("ip", scenario)


def test_address_that_is_put_back_at_once_was_never_down() -> None:
    async def scenario(stage: Stage) -> None:
        sh(take(VIRTUAL))
        await stage.watch(ip(VIRTUAL))
        await stage.reported(f"ip.{VIRTUAL}", "up")
        for _ in range(3):
            sh(f"{drop(VIRTUAL)} && {take(VIRTUAL)}")
        await stage.watch(
            WatchResources(addresses=(AddressWatch(ident="mark", address=VIRTUAL, interval_ms=100),)), "m"
        )
        await stage.reported("ip.mark", "up")
        await stage.listener.order("shop", "checker-ip", ReportFacts())
        assert "down" not in stage.values(f"ip.{VIRTUAL}")

    play("ip", scenario)


@pytest.mark.parametrize("address", [VIRTUAL, VIRTUAL_6])
def test_second_owner_of_an_address_is_found(address: str) -> None:
    async def scenario(stage: Stage) -> None:
        sh(take(address))
        await stage.watch(ip(address))
        await stage.reported(f"ip.{address}", "up")
        stage.neighbour(take(address))
        await stage.reported(f"ip.{address}", "down")
        stage.listener.forget()
        stage.neighbour(drop(address))
        await stage.reported(f"ip.{address}", "up")

    play("ip", scenario)
