"""The checker services as real processes, watching real processes and real ports."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from holdfast.events.module import ProcessWatch, ReportFacts, ResourceReported, TcpWatch, WatchResources
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

Scenario = Callable[[Listener], Awaitable[None]]


def play(place: NodePlace, package: str, service: str, scenario: Scenario) -> None:
    process = ServiceProcess(place, package)

    async def run() -> None:
        listener = await Listener.connect(place)
        process.start()
        try:
            await listener.service_started(service)
            await scenario(listener)
        finally:
            await listener.close()

    try:
        asyncio.run(run())
    finally:
        process.stop()


async def reported(listener: Listener, resource: str, value: str) -> ResourceReported:
    return await listener.wait_for(ResourceReported, lambda fact: (fact.resource, fact.value) == (resource, value))


@pytest.fixture
def program(place: NodePlace) -> Path:
    """A copy of `sleep` under a name that nothing else on this machine has."""
    path = place.root / f"nap{os.getpid() % 100000}"
    shutil.copy("/bin/sleep", path)
    return path


@contextmanager
def running(program: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([str(program), "1000", *arguments])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def processes(*watches: ProcessWatch) -> WatchResources:
    return WatchResources(processes=watches)


def test_end_of_a_process_is_reported_with_its_action(place: NodePlace, nats_server: NatsServer, program: Path) -> None:
    watch = ProcessWatch(name=program.name, action="restart")

    async def scenario(listener: Listener) -> None:
        with running(program) as process:
            await listener.order("shop", "checker-process", processes(watch))
            await reported(listener, f"proc.{program.name}", "up")
            process.send_signal(signal.SIGKILL)
            fact = await reported(listener, f"proc.{program.name}", "down")
            assert (fact.action, fact.by) == ("restart", "checker-process")

    play(place, "services.checkers.process", "checker-process", scenario)


def test_end_of_one_of_several_matters_only_below_the_wanted_number(
    place: NodePlace, nats_server: NatsServer, program: Path
) -> None:
    name = f"proc.{program.name}"

    async def scenario(listener: Listener) -> None:
        with running(program) as first, running(program) as second, running(program):
            await listener.order("shop", "checker-process", processes(ProcessWatch(name=program.name, at_least=2)))
            await reported(listener, name, "up")
            first.kill()
            first.wait()
            listener.forget()
            await listener.order("shop", "checker-process", ReportFacts())
            await reported(listener, name, "up")
            second.kill()
            await reported(listener, name, "down")

    play(place, "services.checkers.process", "checker-process", scenario)


def test_process_that_comes_later_is_found(place: NodePlace, nats_server: NatsServer, program: Path) -> None:
    name = f"proc.{program.name}"

    async def scenario(listener: Listener) -> None:
        await listener.order("shop", "checker-process", processes(ProcessWatch(name=program.name)))
        await reported(listener, name, "down")
        with running(program):
            await reported(listener, name, "up")

    play(place, "services.checkers.process", "checker-process", scenario)


def test_unwanted_process_is_noticed_when_it_starts(place: NodePlace, nats_server: NatsServer, program: Path) -> None:
    name = f"proc.{program.name}"
    watch = ProcessWatch(name=program.name, at_least=-1, at_most=0)

    async def scenario(listener: Listener) -> None:
        await listener.order("shop", "checker-process", processes(watch))
        await reported(listener, name, "up")
        with running(program):
            await reported(listener, name, "down")

    play(place, "services.checkers.process", "checker-process", scenario)


def test_arguments_tell_programs_of_one_name_apart(place: NodePlace, nats_server: NatsServer, program: Path) -> None:
    watch = ProcessWatch(name="mine", name_regex="^nap", argument_regex=f"{program.name} 1000 77$")

    async def scenario(listener: Listener) -> None:
        with running(program), running(program, "77") as meant:
            await listener.order("shop", "checker-process", processes(watch))
            await reported(listener, "proc.mine", "up")
            meant.kill()
            await reported(listener, "proc.mine", "down")

    play(place, "services.checkers.process", "checker-process", scenario)


def test_restarted_service_knows_the_values_again_after_the_order_is_repeated(
    place: NodePlace, nats_server: NatsServer, program: Path
) -> None:
    name = f"proc.{program.name}"

    async def scenario(listener: Listener) -> None:
        with running(program):
            await listener.order("shop", "checker-process", processes(ProcessWatch(name=program.name)))
            await reported(listener, name, "up")

    play(place, "services.checkers.process", "checker-process", scenario)
    play(place, "services.checkers.process", "checker-process", scenario)


async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def tcp(port: int, **more: int) -> WatchResources:
    return WatchResources(tcp=(TcpWatch(ident="web", address="127.0.0.1", port=port, interval_ms=50, **more),))


def test_port_that_stops_listening_is_reported(place: NodePlace, nats_server: NatsServer) -> None:
    async def scenario(listener: Listener) -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await listener.order("shop", "checker-tcp", tcp(port))
        await reported(listener, "tcp.web", "up")
        server.close()
        await server.wait_closed()
        assert (await reported(listener, "tcp.web", "down")).action == "restart"
        server = await asyncio.start_server(accept, "127.0.0.1", port)
        listener.forget()
        await reported(listener, "tcp.web", "up")
        server.close()
        await server.wait_closed()

    play(place, "services.checkers.tcp", "checker-tcp", scenario)


def test_port_that_takes_connections_but_never_completes_them_times_out(
    place: NodePlace, nats_server: NatsServer
) -> None:
    """A full backlog: the kernel answers nothing, as a machine that hangs."""

    async def scenario(listener: Listener) -> None:
        import socket

        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for client in filling:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        try:
            await listener.order("shop", "checker-tcp", tcp(full.getsockname()[1], timeout_ms=100))
            await reported(listener, "tcp.web", "down")
        finally:
            for one in (*filling, full):
                one.close()

    play(place, "services.checkers.tcp", "checker-tcp", scenario)


def test_watch_that_is_no_longer_ordered_is_not_reported(place: NodePlace, nats_server: NatsServer) -> None:
    async def scenario(listener: Listener) -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await listener.order("shop", "checker-tcp", tcp(port))
        await reported(listener, "tcp.web", "up")
        await listener.order("shop", "checker-tcp", WatchResources())
        await listener.order("mark", "checker-tcp", tcp(port))
        await listener.wait_for(ResourceReported, lambda fact: fact.value == "up")
        listener.forget()
        await listener.order("_node", "all", ReportFacts())
        await reported(listener, "tcp.web", "up")
        assert {envelope.module for envelope in listener.facts} == {"mark"}
        server.close()
        await server.wait_closed()

    play(place, "services.checkers.tcp", "checker-tcp", scenario)
