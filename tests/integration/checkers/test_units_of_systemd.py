"""Units of systemd are watched over D-Bus: a real daemon, a real checker, and what answers like systemd."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from holdfast.events.module import ProcessWatch, ResourceReported, WatchResources
from holdfast.systemd import bus as bus_module
from holdfast.systemd.manager import unknown_units
from holdfast.systemd.unit import UnitState
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

from services.checkers.core import Policy, Value
from services.checkers.process import units as units_module
from services.checkers.process import watching
from services.checkers.process.table import ProcessTable
from services.checkers.process.units import Followed, Units
from tests.integration.checkers.emulated_systemd import EmulatedSystemd, PrivateBus, Unit

SHOP = "shopd.service"
WAIT_S_MAX = 15
OTHERS = 3000


@pytest.fixture
def private_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    bus = PrivateBus(tmp_path)
    bus.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    yield bus
    bus.kill()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in production takes a fraction of one."""
    monkeypatch.setattr(units_module, "BEAT_S", 0.1)
    monkeypatch.setattr(units_module, "RETRY_S", 0.05)
    monkeypatch.setattr(watching, "POLICY", Policy(failures=1, settle_ms=200))


def unit(name: str = "shopd", **more: int) -> ProcessWatch:
    return ProcessWatch(name=name, unit=True, action="restart", **more)


class Resources:
    """What was said of each resource since it was waited for last."""

    def __init__(self) -> None:
        self.said: dict[str, list[Value]] = {}
        self._news = asyncio.Event()

    async def watch(self, what: ProcessWatch, units: Units) -> None:
        said = self.said[what.name] = []

        async def say(value: Value) -> None:
            if value is not (said[-1] if said else Value.INIT):
                said.append(value)
                self._news.set()

        await watching.watch_unit(what, say, ProcessTable(), units)

    async def become(self, name: str, *values: Value) -> None:
        """Wait until a resource has taken these values, one after the other, and no others."""
        async with asyncio.timeout(WAIT_S_MAX):
            while len(self.said.get(name, ())) < len(values):
                await self._news.wait()
                self._news.clear()
        assert self.said[name] == list(values)
        # What is said next is compared with the value that it has now.
        del self.said[name][:-1]


Scenario = Callable[[Resources], Awaitable[None]]


def play(systemd: EmulatedSystemd, scenario: Scenario, *watches: ProcessWatch) -> None:
    """Watch these units in this process."""

    async def run() -> None:
        await systemd.join()
        units = Units()
        resources = Resources()
        tasks = {asyncio.ensure_future(units.run())}
        tasks |= {asyncio.ensure_future(resources.watch(watch, units)) for watch in watches}
        try:
            await scenario(resources)
        finally:
            assert not any(task.done() for task in tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await systemd.leave()

    asyncio.run(run())


def test_unit_that_fails_is_reported_with_its_action(
    place: NodePlace, nats_server: NatsServer, private_bus: PrivateBus
) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))
    process = ServiceProcess(place, "services.checkers.process")

    async def run() -> None:
        listener = await Listener.connect(place)
        await systemd.join()
        process.start()
        try:
            await listener.service_started("checker-process")
            await listener.order("shop", "checker-process", WatchResources(processes=(unit(),)))
            await listener.wait_for(ResourceReported, lambda fact: fact.value == "up")
            await systemd.change(SHOP, "failed", "failed")
            fact = await listener.wait_for(ResourceReported, lambda fact: fact.value == "down")
            assert (fact.resource, fact.action, fact.by) == ("proc.shopd", "restart", "checker-process")
        finally:
            await systemd.leave()
            await listener.close()

    try:
        asyncio.run(run())
    finally:
        process.stop()


def test_unit_that_systemd_starts_again_has_ended(private_bus: PrivateBus, fast: None) -> None:
    """With `Restart=` it may run again before anybody has looked; what it was doing is over all the same."""
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))

    async def scenario(resources: Resources) -> None:
        await resources.become("shopd", Value.UP)
        await systemd.change(SHOP, "activating", "auto-restart")
        await systemd.change(SHOP, "active", "running", runs=2)
        await resources.become("shopd", Value.UP, Value.DOWN, Value.UP)
        await systemd.change(SHOP, "active", "running", runs=3)
        await resources.become("shopd", Value.UP, Value.DOWN, Value.UP)

    play(systemd, scenario, unit())


def test_reload_and_slow_start_are_no_failure(private_bus: PrivateBus, fast: None) -> None:
    """A unit that still starts is judged once it has started; one that does not exist is down."""
    slow = Unit(name="slowd.service", active="activating", sub="start")
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP), slow)

    async def scenario(resources: Resources) -> None:
        await resources.become("shopd", Value.UP)
        await systemd.change(SHOP, "reloading", "reload-notify")
        await systemd.change(SHOP, "active", "running")
        await resources.become("nosuch", Value.DOWN)
        await systemd.change("slowd.service", "active", "running")
        await resources.become("slowd", Value.UP)
        await resources.become("shopd", Value.UP)

    play(systemd, scenario, unit(), unit("slowd"), unit("nosuch"))


def test_unwanted_unit_is_noticed_when_it_starts(private_bus: PrivateBus, fast: None) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP, active="inactive", sub="dead"))

    async def scenario(resources: Resources) -> None:
        await resources.become("shopd", Value.UP)
        await systemd.change(SHOP, "active", "running")
        await resources.become("shopd", Value.UP, Value.DOWN)

    play(systemd, scenario, unit(at_least=-1, at_most=0))


def test_systemd_that_goes_leaves_the_control_groups_until_it_is_back(private_bus: PrivateBus, fast: None) -> None:
    """No process is in the groups of these units: the one that needs none keeps what systemd said last."""
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP), Unit(name="once.service", sub="exited"))

    async def scenario(resources: Resources) -> None:
        await resources.become("once", Value.UP)
        await resources.become("shopd", Value.UP)
        await systemd.leave()
        await resources.become("shopd", Value.UP, Value.DOWN)
        await systemd.join()
        await resources.become("shopd", Value.DOWN, Value.UP)
        await systemd.change("once.service", "inactive", "dead")
        await resources.become("once", Value.UP, Value.DOWN)

    play(systemd, scenario, unit("once"), unit())


def test_killed_bus_is_used_again_when_it_is_back(private_bus: PrivateBus, fast: None) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))

    async def scenario(resources: Resources) -> None:
        await resources.become("shopd", Value.UP)
        private_bus.kill()
        await resources.become("shopd", Value.UP, Value.DOWN)
        private_bus.start()
        await systemd.join()
        await resources.become("shopd", Value.DOWN, Value.UP)
        await systemd.change(SHOP, "inactive", "dead")
        await resources.become("shopd", Value.UP, Value.DOWN)

    play(systemd, scenario, unit())


@asynccontextmanager
async def following(name: str) -> AsyncIterator[tuple[Units, Followed]]:
    """A unit of this name, followed in this process, once something is known of it."""
    units = Units()
    running = asyncio.ensure_future(units.run())
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            with units.follow(name, asyncio.Event()) as unit:
                await unit.asked.wait()
                yield units, unit
    finally:
        running.cancel()
        await asyncio.wait({running})


async def until(each: Followed, condition: Callable[[UnitState | None], bool]) -> None:
    while not condition(each.state):
        await each.news.wait()
        each.news.clear()


def test_changes_of_other_units_are_not_even_received(private_bus: PrivateBus) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP), Unit(name="other.service"))

    async def scenario() -> None:
        await systemd.join()
        async with following(SHOP) as (units, shop):
            for number in range(OTHERS):
                await systemd.change("other.service", "active" if number % 2 else "inactive", "x")
            await systemd.change(SHOP, "failed", "failed")
            await until(shop, lambda state: state is not None and state.active == "failed")
            await systemd.change(SHOP, "active", "running")
            await until(shop, lambda state: state is not None and state.active == "active")
            assert units.received < OTHERS / 10
        await systemd.leave()

    asyncio.run(scenario())


def test_unit_is_found_by_another_of_its_names(private_bus: PrivateBus) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name="mariadb.service", alias="mysql.service"))

    async def scenario() -> None:
        await systemd.join()
        async with following("mysql.service") as (_, mysql):
            assert mysql.state.is_running
            await systemd.change("mariadb.service", "deactivating", "stop-sigterm")
            await until(mysql, lambda state: state is not None and not state.is_running)
            assert mysql.take_end()
        await systemd.leave()

    asyncio.run(scenario())


def test_systemd_that_does_not_answer_is_noticed(
    private_bus: PrivateBus, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))

    async def scenario() -> None:
        await systemd.join()
        async with following(SHOP) as (_, shop):
            assert shop.state is not None
            monkeypatch.setattr(bus_module, "ANSWER_S_MAX", 0.3)
            systemd.is_silent = True
            await until(shop, lambda state: state is None)
            monkeypatch.setattr(bus_module, "ANSWER_S_MAX", WAIT_S_MAX)
            systemd.is_silent = False
            await until(shop, lambda state: state is not None and state.is_running)
            assert not shop.take_end()
        await systemd.leave()

    asyncio.run(scenario())


def test_only_systemd_is_believed(private_bus: PrivateBus) -> None:
    """Anybody on the machine may send a signal to one connection."""
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))
    stranger = EmulatedSystemd(private_bus.address)

    async def scenario() -> None:
        await systemd.join()
        await stranger.join()
        async with following(SHOP) as (_, shop):
            (asker,) = systemd.askers
            await stranger.tell(Unit(name=SHOP, active="failed", sub="failed"), only_to=asker)
            await systemd.change(SHOP, "active", "reload-signal")
            await until(shop, lambda state: state is not None and state.sub == "reload-signal")
            assert not shop.take_end()
        await stranger.leave()
        await systemd.leave()

    asyncio.run(scenario())


def test_names_that_systemd_has_no_unit_of_are_told(private_bus: PrivateBus) -> None:
    systemd = EmulatedSystemd(private_bus.address, Unit(name=SHOP))

    async def scenario() -> None:
        assert await unknown_units(["shopd", "nosuch"]) == frozenset(), "without systemd nothing can be said"
        await systemd.join()
        assert await unknown_units(["shopd", "nosuch"]) == {"nosuch"}
        await systemd.leave()

    asyncio.run(scenario())
