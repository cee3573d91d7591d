"""The state machine as a real process on a real bus, between small services that obey and report."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from holdfast.bus import subjects
from holdfast.bus.nats import NatsBus
from holdfast.clock import HybridClock, SystemClock
from holdfast.events.envelope import Envelope
from holdfast.events.membership import PeerLost
from holdfast.events.module import (
    AddressesReported,
    AnnounceState,
    HoldAddresses,
    ReportFacts,
    RunScript,
    ScriptFinished,
    ServiceStarted,
)
from holdfast.events.replication import ReplicateDirectories, ReplicationMode, ReplicationReported, Stance
from holdfast.events.state import Role
from holdfast.history.replay import replay
from holdfast.ids import ModuleId
from holdfast.journal.authority import AuthorityStore
from holdfast.journal.sql import SqlJournal
from holdfast.service.context import Context
from holdfast.service.notify import Notifier
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import NodePlace, ServiceProcess

MODULE = ModuleId("shop")
WAIT_S_MAX = 20.0
CLUSTER = """<?xml version="1.0"?>
<cluster><lans><lan name="net">
<node name="node1" addr="127.0.0.1"/><node name="node2" addr="127.0.0.2"/></lan></lans></cluster>
"""
CONFIGURATION = """<?xml version="1.0"?>
<safe><service mode="mirror">
<heart><heartbeat name="net"/></heart>
<vip><interface_list><interface check="off"><real_interface>
<virtual_addr addr="127.0.0.9" where="one_side_alias" check="off"/></real_interface></interface></interface_list></vip>
<rfs><replicated dir="/srv/shop"/></rfs>
<user/></service></safe>
"""

SCRIPTS = ("prestart", "start_prim", "stop_prim")
"""Those that the module has; the others count as run."""


def install(place: NodePlace) -> Path:
    """Lay a module out as the gateway does when a configuration is applied."""
    (place.config_dir / "cluster.xml").write_text(CLUSTER)
    (place.config_dir / "cluster.key").write_text("key")
    root = place.settings.module_dir(MODULE)
    (root / "active").mkdir(parents=True)
    (root / "active" / "userconfig.xml").write_text(CONFIGURATION)
    (root / "active" / "bin").mkdir()
    for script in SCRIPTS:
        (root / "active" / "bin" / script).write_text("#!/bin/sh\n")
    (root / "module.json").write_text(json.dumps({"id": 1}))
    return root


class Node:
    """Everything around the state machine: each part obeys the newest order and reports what it then observes."""

    def __init__(self, place: NodePlace) -> None:
        self.place = place
        self.contexts: dict[str, Context] = {}
        self.announced: list[AnnounceState] = []
        self.held: list[bool] = []
        self.scripts: list[str] = []
        self.news = asyncio.Condition()
        self._replication = ReplicationReported(
            mode=ReplicationMode.OFF,
            epoch=0,
            mounted=False,
            writable=False,
            connected=False,  # type: ignore[arg-type]
        )
        self._addresses = AddressesReported(held=False, present=())
        self._finished: dict[str, ScriptFinished] = {}

    async def start(self) -> None:
        for name in ("heartbeat", "vip", "scripts", f"rfs@{MODULE}"):
            await self._connect(name)
        await self.contexts["heartbeat"].on_order(AnnounceState, self._announce)
        await self.contexts["vip"].on_order(HoldAddresses, self._hold)
        await self.contexts["scripts"].on_order(RunScript, self._run)
        await self.contexts[f"rfs@{MODULE}"].on_order(ReplicateDirectories, self._replicate)
        for name, context in self.contexts.items():
            context.on_report(self._reporter(name))
            await context.listen_for_reports()
            await context.announce()

    async def close(self) -> None:
        for context in self.contexts.values():
            await context.bus.close()

    async def fact(self, service: str, payload: object) -> None:
        await self.contexts[service].publish(MODULE, payload)

    async def ask(self, verb: str, **request: object) -> dict[str, Any]:
        subject = subjects.ask(self.place.settings.cluster, "statemachine", verb)
        data = json.dumps({"module": MODULE, **request}).encode()
        answer: dict[str, Any] = json.loads(await self.contexts["vip"].bus.ask(subject, data, timeout_s=WAIT_S_MAX))
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX), self.news:
            await self.news.wait_for(condition)

    async def statemachine_ready(self, pid: int) -> None:
        """Wait for this process to say that it serves."""
        started = asyncio.Event()

        async def hear(envelope: Envelope[object]) -> None:
            if isinstance(envelope.payload, ServiceStarted) and envelope.payload.pid == pid:
                started.set()

        await self.contexts["vip"].on_events(hear)
        async with asyncio.timeout(WAIT_S_MAX):
            await started.wait()

    async def _connect(self, name: str) -> None:
        clock = SystemClock()
        settings = self.place.settings
        self.contexts[name] = Context(
            name=name,
            settings=settings,
            bus=await NatsBus.connect(settings.run_dir, name),
            clock=clock,
            hybrid=HybridClock(clock),
            notifier=Notifier({}),
        )

    def _reporter(self, name: str) -> Callable[[ModuleId], Awaitable[None]]:
        async def report(_module: ModuleId) -> None:
            await self._tell(name)

        return report

    async def _tell(self, name: str) -> None:
        match name:
            case "vip":
                await self.fact(name, self._addresses)
            case "scripts":
                for finished in list(self._finished.values()):
                    await self.fact(name, finished)
            case "heartbeat":
                lost = PeerLost(reason="never", last_heard_mono_ns=0, silent_ms=1000.0, evidence="never heard")
                await self.fact(name, lost)
            case _:
                await self.fact(name, self._replication)

    async def _announce(self, order: Envelope[AnnounceState]) -> None:
        async with self.news:
            self.announced.append(order.payload)
            self.news.notify_all()

    async def _hold(self, order: Envelope[HoldAddresses]) -> None:
        self.held.append(order.payload.held)
        present = tuple(item.address for item in order.payload.addresses) if order.payload.held else ()
        self._addresses = AddressesReported(held=order.payload.held, present=present)
        await self._tell("vip")

    async def _run(self, order: Envelope[RunScript]) -> None:
        run = order.payload
        if run.run not in self._finished:
            self.scripts.append(run.script)
            self._finished[run.run] = ScriptFinished(
                run=run.run, script=run.script, exit_code=0, duration_ms=1.0, timed_out=False, log=""
            )
        await self.fact("scripts", self._finished[run.run])

    async def _replicate(self, order: Envelope[ReplicateDirectories]) -> None:
        wanted = order.payload
        is_primary = wanted.mode is ReplicationMode.PRIMARY
        self._replication = ReplicationReported(
            mode=wanted.mode,
            epoch=wanted.epoch,
            mounted=wanted.mode is not ReplicationMode.OFF,
            writable=is_primary and wanted.stance is not Stance.DRAIN,
            connected=False,
            drained_session=wanted.session if wanted.stance is Stance.DRAIN else "",  # type: ignore[arg-type]
            applied_all=is_primary,
        )
        await self._tell(f"rfs@{MODULE}")


@pytest.fixture
def place() -> Iterator[NodePlace]:
    made = NodePlace()
    install(made)
    yield made
    made.remove()


def scenario(place: NodePlace, steps: Callable[[Node, ServiceProcess, NatsServer], Awaitable[None]]) -> None:
    server = NatsServer(place.run_dir)
    server.start()
    machine = ServiceProcess(place, "services.statemachine")

    async def run() -> None:
        node = Node(place)
        await node.start()
        try:
            machine.start()
            await node.statemachine_ready(machine.pid)
            await steps(node, machine, server)
        finally:
            await node.close()

    try:
        asyncio.run(run())
    finally:
        machine.kill()
        server.stop()


def is_alone(node: Node) -> bool:
    said = node.announced[-1].announcement if node.announced else None
    return said is not None and said.role is Role.ALONE and said.status.value == "Ready"


async def become_alone(node: Node) -> None:
    answer = await node.ask("command", action="prim", who="test")
    assert answer == {"accepted": True, "reason": "", "role": answer["role"], "status": answer["status"]}
    await node.until(lambda: is_alone(node))


def test_first_start_waits_and_prim_makes_the_node_primary(place: NodePlace) -> None:
    """Nobody has chosen a copy yet, so only an operator's word starts the application."""

    async def steps(node: Node, _machine: ServiceProcess, _server: NatsServer) -> None:
        await node.ask("command", action="start", who="test")
        await node.until(lambda: bool(node.announced) and node.announced[-1].announcement.role is Role.WAIT)
        await become_alone(node)
        model = (await node.ask("state"))["modules"][0]
        assert (model["role"], model["status"], model["copy"]) == ("ALONE", "Ready", "uptodate")
        assert model["resources"]["rfs.uptodate"]["value"] == "up"
        assert "start_prim" in node.scripts
        services = json.loads((place.run_dir / "services.json").read_text())
        assert services == {"services": [f"rfs@{MODULE}"]}

    scenario(place, steps)


def test_scripts_that_the_module_does_not_have_are_recorded_as_run_and_never_ordered(place: NodePlace) -> None:
    """In the published order, each once, and the others are ordered as ever."""

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        assert node.scripts == ["prestart", "start_prim"]
        machine.kill()
        journal = SqlJournal(place.settings.module_dir(MODULE) / "journal.db", read_only=True)
        payloads = [record.envelope.payload for record in journal.read()]
        journal.close()
        ran = {payload.run: payload.script for payload in payloads if isinstance(payload, ScriptFinished)}
        assert list(ran.values()) == [
            "transition",
            "prestart",
            "transition",
            "start_both",
            "start_prim",
            "start_sec",
        ]

    scenario(place, steps)


def test_a_killed_state_machine_goes_on_in_its_role(place: NodePlace) -> None:
    """SIGKILL five times: same role, same epoch, no script run again, the address never let go."""

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        before = node.announced[-1].announcement
        scripts = list(node.scripts)
        node.held.clear()
        for _ in range(5):
            machine.kill()
            machine.start()
            await node.statemachine_ready(machine.pid)
        model = (await node.ask("state"))["modules"][0]
        assert (model["role"], model["status"]) == ("ALONE", "Ready")
        assert (model["epoch"], model["incarnation"]) == (before.epoch, before.incarnation)
        assert node.scripts == scripts
        assert False not in node.held

    scenario(place, steps)


def test_a_state_machine_killed_in_the_middle_of_a_start_finishes_it(place: NodePlace) -> None:
    """Killed right after each of the first orders: the start still ends in ALONE, and each script ran once."""

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await node.ask("command", action="prim", who="test")
        for count in range(1, 5):
            await node.until(lambda count=count: len(node.announced) >= count)  # type: ignore[misc]
            machine.kill()
            machine.start()
            await node.statemachine_ready(machine.pid)
        await node.until(lambda: is_alone(node))
        starts = [script for script in node.scripts if script.startswith("start_")]
        assert len(starts) == len(set(starts))

    scenario(place, steps)


def test_a_bus_that_is_killed_moves_nothing(place: NodePlace) -> None:
    """After the bus has come back, requests are answered and orders have been repeated."""

    async def steps(node: Node, _machine: ServiceProcess, server: NatsServer) -> None:
        await become_alone(node)
        count = len(node.announced)
        server.kill()
        server.start()
        await node.until(lambda: len(node.announced) > count)
        model = (await node.ask("state"))["modules"][0]
        assert (model["role"], model["status"]) == ("ALONE", "Ready")

    scenario(place, steps)


def test_sigterm_stops_the_module_first(place: NodePlace) -> None:
    """The planned stop: stop scripts, addresses let go, the announcement says STOP; the next life starts it again."""

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        ended = asyncio.get_running_loop().run_in_executor(None, machine.stop)
        await node.until(lambda: node.announced[-1].announcement.role is Role.STOP)
        assert await ended == 0
        assert "stop_prim" in node.scripts
        assert node.held[-1] is False
        os.environ["HOLDFAST_RUN"] = "another life"
        try:
            machine.start()
        finally:
            del os.environ["HOLDFAST_RUN"]
        await node.until(lambda: is_alone(node))

    scenario(place, steps)


def test_replay_of_a_recorded_start_and_stop_makes_the_same_decisions(place: NodePlace) -> None:
    """Every decision of a real run follows from its journal, over a restart in the middle."""

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        machine.kill()
        machine.start()
        await node.statemachine_ready(machine.pid)
        await node.ask("command", action="stop", who="test")
        await node.until(lambda: node.announced[-1].announcement.role is Role.STOP)

    scenario(place, steps)
    journal = SqlJournal(place.settings.module_dir(MODULE) / "journal.db", read_only=True)
    report = replay(journal)
    journal.close()
    assert report.differences == ()
    assert report.decisions > 10


def test_a_truncated_authority_record_is_refused_and_nothing_is_guessed(place: NodePlace) -> None:
    """The module does not run, the reason is told, and the service itself lives on."""
    root = place.settings.module_dir(MODULE)
    AuthorityStore(root / "authority.db").close()
    os.truncate(root / "authority.db", 1000)

    async def steps(node: Node, _machine: ServiceProcess, _server: NatsServer) -> None:
        answer = await node.ask("command", action="start")
        assert answer["accepted"] is False
        assert "authority record" in answer["reason"]

    scenario(place, steps)


def test_refused_commands_say_why(place: NodePlace) -> None:
    async def steps(node: Node, _machine: ServiceProcess, _server: NatsServer) -> None:
        answer = await node.ask("command", action="swap")
        assert answer["accepted"] is False
        assert "swap needs" in answer["reason"]
        assert (await node.ask("command", action="dance"))["accepted"] is False
        assert (await node.ask("setting", setting="failover", value="perhaps"))["accepted"] is False

    scenario(place, steps)


def test_facts_for_reporting_are_asked_for_after_start(place: NodePlace) -> None:
    """A state machine that starts asks everybody for facts, so that nothing has to be remembered over its death."""
    asked: list[str] = []

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        subject = subjects.order(place.settings.cluster, subjects.ANY, "all", "report.facts")
        heard = asyncio.Event()

        async def hear(_subject: str, _data: bytes) -> None:
            asked.append(ReportFacts.__name__)
            heard.set()

        await node.contexts["vip"].bus.subscribe(subject, hear)
        machine.kill()
        machine.start()
        async with asyncio.timeout(WAIT_S_MAX):
            await heard.wait()

    scenario(place, steps)
    assert asked
