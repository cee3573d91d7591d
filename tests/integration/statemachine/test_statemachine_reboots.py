"""A stopstart that reboots the node, loop protection across reboots, and the wait before the start at boot."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from holdfast.events.module import Action, CommandRequested, ModuleOpened, RebootOrdered
from holdfast.events.state import Role
from holdfast.journal.sql import SqlJournal
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import NodePlace, ServiceProcess

from tests.integration.statemachine.test_statemachine_survives_kills import (
    CONFIGURATION,
    MODULE,
    Node,
    become_alone,
    is_alone,
    place,
    scenario,
)

__all__ = ["place"]
"""The fixture."""


def configure(place: NodePlace, service: str, command: str = "") -> Path:
    """Give the module attributes of `service`, and the node a command that reboots it; return the pipe into
    which that writes a line."""
    text = CONFIGURATION.replace('mode="mirror"', f'mode="mirror" {service}')
    (place.settings.module_dir(MODULE) / "active" / "userconfig.xml").write_text(text)
    reboots = place.root / "reboots"
    os.mkfifo(reboots)
    said = command or f"sh -c 'echo rebooted >{reboots}'"
    (place.config_dir / "node.toml").write_text(f"reboot_command = {json.dumps(said)}\n")
    return reboots


async def rebooted(place: NodePlace, machine: ServiceProcess, *, in_order: bool) -> None:
    """End the state machine's life as a reboot does, or as a power switch: what is below /run is gone."""
    await asyncio.to_thread(machine.stop if in_order else machine.kill)
    (place.run_dir / "statemachine.json").unlink()


def payloads(place: NodePlace) -> list[object]:
    journal = SqlJournal(place.settings.module_dir(MODULE) / "journal.db", read_only=True)
    try:
        return [record.envelope.payload for record in journal.read()]
    finally:
        journal.close()


async def stopstart(node: Node, **more: str) -> None:
    """Have the module stopped and started, and wait until it has been through that."""
    stops = node.scripts.count("stop_prim")
    await node.ask("command", action="stopstart", **more)
    await node.until(lambda: node.scripts.count("stop_prim") > stops)


async def heard(fifo: Path) -> str:
    """What the command that reboots the node writes."""
    return await asyncio.to_thread(fifo.read_text)


def orders_to_reboot(place: NodePlace) -> list[str]:
    """The problems of all orders; empty for one that could be given."""
    return [each.problem for each in payloads(place) if isinstance(each, RebootOrdered)]


def role(node: Node) -> Role:
    return node.announced[-1].announcement.role


def test_automatic_stopstart_reboots_the_node_until_loop_protection_stops_the_module(place: NodePlace) -> None:
    reboots = configure(place, 'automatic_reboot="on" maxloop="2" boot="on"')
    loop = place.settings.module_dir(MODULE) / "loop.json"

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        for life in (1, 2):
            await stopstart(node, identity="checker")
            await node.until(lambda: is_alone(node))
            assert await heard(reboots) == "rebooted\n"
            assert len(json.loads(loop.read_text())["taken_at_wall_ns"]) == life
            await rebooted(place, machine, in_order=life == 1)
            node.announced.clear()
            machine.start()
            await node.statemachine_ready(machine.pid)
            await node.until(lambda: is_alone(node))
            model = (await node.ask("state"))["modules"][0]
            assert model["resources"]["heart.loopcount"]["value"] == str(life)
        await stopstart(node, identity="checker")
        await node.until(lambda: role(node) is Role.STOP)
        assert not loop.exists()
        machine.kill()
        assert orders_to_reboot(place) == ["", ""]

    scenario(place, steps)


def test_stopstart_of_an_operator_does_not_reboot_and_forgets_what_was_counted(place: NodePlace) -> None:
    reboots = configure(place, 'automatic_reboot="on"')
    loop = place.settings.module_dir(MODULE) / "loop.json"

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        await stopstart(node, identity="checker")
        assert await heard(reboots) == "rebooted\n"
        await node.until(lambda: is_alone(node))
        assert loop.exists()
        await stopstart(node, who="operator")
        await node.until(lambda: is_alone(node))
        assert not loop.exists()
        machine.kill()
        assert orders_to_reboot(place) == [""]

    scenario(place, steps)


def test_node_that_cannot_be_rebooted_says_so_and_the_module_goes_on(place: NodePlace) -> None:
    configure(place, 'automatic_reboot="on"', "sh -c 'echo no power >&2; exit 4'")

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await become_alone(node)
        await stopstart(node, identity="checker")
        await node.until(lambda: is_alone(node))
        await asyncio.to_thread(machine.stop)
        assert orders_to_reboot(place) == ["", "exit code 4: no power"]

    scenario(place, steps)


def test_actions_counted_under_a_clock_that_went_back_count_as_of_now(place: NodePlace) -> None:
    configure(place, 'automatic_reboot="on" boot="on"')
    loop = place.settings.module_dir(MODULE) / "loop.json"
    loop.write_text(json.dumps({"taken_at_wall_ns": [4_000_000_000 * 10**9] * 3}))

    async def steps(node: Node, _machine: ServiceProcess, _server: NatsServer) -> None:
        model = (await node.ask("state"))["modules"][0]
        assert model["resources"]["heart.loopcount"]["value"] == "3"

    scenario(place, steps)


def test_module_is_started_with_the_node_after_its_boot_delay(place: NodePlace) -> None:
    configure(place, 'boot="on" boot_delay="1s"')

    async def steps(node: Node, machine: ServiceProcess, _server: NatsServer) -> None:
        await node.until(lambda: bool(node.announced) and role(node) is Role.WAIT)
        machine.kill()
        journal = SqlJournal(place.settings.module_dir(MODULE) / "journal.db", read_only=True)
        told = [record.envelope for record in journal.read()]
        journal.close()
        opened = next(each for each in told if isinstance(each.payload, ModuleOpened))
        started = next(each for each in told if isinstance(each.payload, CommandRequested))
        assert isinstance(started.payload, CommandRequested)
        assert (started.payload.action, started.payload.who) == (Action.START, "start of the node")
        assert started.at_mono_ns - opened.at_mono_ns >= 1_000_000_000

    scenario(place, steps)
