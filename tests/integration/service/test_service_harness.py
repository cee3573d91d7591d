"""The harness around a little service: a real process on a real NATS server, watched as a supervisor watches."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from holdfast.bus import subjects
from holdfast.bus.nats import NatsBus
from holdfast.errors import ExitCode
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.module import ForgetScripts, ReportFacts, RunScript
from holdfast.service.run import LEASE_INTERVAL_S, ORPHAN_GRACE_S
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.samples import sample_envelope
from holdfast.testing.services import NodePlace

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("harness_service.py")
WAIT_S_MAX = 20.0
"""Only a failing test waits this long."""
DATAGRAM_BYTES = 4096


class Watched:
    """The service's process and the supervisor's end of its notify socket."""

    def __init__(self, place: NodePlace, *arguments: str) -> None:
        self.place = place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(WAIT_S_MAX)
        path = place.run_dir / "notify.sock"
        self._socket.bind(str(path))
        environment = {**os.environ, **place.environment, "NOTIFY_SOCKET": str(path)}
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments], env=environment, stderr=subprocess.PIPE
        )

    def heard(self) -> str:
        return self._socket.recv(DATAGRAM_BYTES).decode()

    def wait_for(self, text: str) -> list[str]:
        """Return what was heard up to and with `text`."""
        all_heard = [self.heard()]
        while all_heard[-1] != text:
            all_heard.append(self.heard())
        return all_heard

    def ended(self) -> int:
        return self.process.wait(WAIT_S_MAX)

    def log(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.place.state_dir / "log/little.log").read_text().splitlines()]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S_MAX)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self._socket.close()


@contextmanager
def watched(place: NodePlace, *arguments: str) -> Iterator[Watched]:
    service = Watched(place, *arguments)
    try:
        yield service
    finally:
        service.end()


def give(place: NodePlace, order: object) -> None:
    """Give the service one order over the bus."""

    async def run(bus: NatsBus) -> None:
        subject = subjects.order(place.settings.cluster, "shop", "little", BY_PAYLOAD[type(order)].name)
        await bus.publish(subject, codec.encode(sample_envelope(order)))

    on_bus(place, run)


def on_bus(place: NodePlace, work: Callable[[NatsBus], Awaitable[None]]) -> None:
    async def run() -> None:
        bus = await NatsBus.connect(place.run_dir, "test")
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await work(bus)
        finally:
            await bus.close()

    asyncio.run(run())


@pytest.mark.usefixtures("nats_server")
def test_a_service_reports_ready_and_renews_its_lease(place: NodePlace) -> None:
    with watched(place, "obey") as service:
        heard = service.wait_for("READY=1")
        assert "WATCHDOG=1" in heard or service.heard() == "WATCHDOG=1"
        assert {service.heard() for _ in range(2)} == {"WATCHDOG=1"}


@pytest.mark.usefixtures("nats_server")
def test_sigterm_ends_a_service_in_order(place: NodePlace) -> None:
    with watched(place, "obey") as service:
        service.wait_for("READY=1")
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == ExitCode.OK
        service.wait_for("STOPPING=1")
        assert (place.run_dir / "let-go").read_text() == str(service.process.pid)


@pytest.mark.usefixtures("nats_server")
def test_an_orderly_stop_may_take_its_time(place: NodePlace) -> None:
    """Only the supervisor decides when it has been long enough; the grace of orphans does not count here."""
    with watched(place, "stubborn") as service:
        service.wait_for("READY=1")
        service.process.send_signal(signal.SIGTERM)
        for _ in range(round(ORPHAN_GRACE_S / LEASE_INTERVAL_S) + 2):
            assert service.heard() == "WATCHDOG=1"
        assert service.process.poll() is None


@pytest.mark.usefixtures("nats_server")
@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        ("break", ExitCode.INVARIANT, "little failed"),
        ("invariant", ExitCode.INVARIANT, "one and one is three"),
        ("refuse", ExitCode.REFUSED, "not on this machine"),
    ],
)
def test_an_error_ends_a_service_with_its_code_and_a_record(
    place: NodePlace, mode: str, code: ExitCode, words: str
) -> None:
    with watched(place, mode) as service:
        assert service.ended() == code
        record = service.log()[-1]
        assert record["level"] == "error"
        assert words in record["message"]
        assert ("Traceback" in record.get("exception", "")) == (code is ExitCode.INVARIANT)


@pytest.mark.usefixtures("nats_server")
def test_an_error_in_an_order_ends_the_service_to_be_restarted(place: NodePlace) -> None:
    """It would otherwise go on with whatever the handler left half done."""
    order = RunScript(run="r1", script="start_prim", arguments=(), environment={}, timeout_ms=1, log_bytes_max=1)
    with watched(place, "obey") as service:
        service.wait_for("READY=1")
        give(place, order)
        assert service.ended() == ExitCode.INVARIANT
        assert "ZeroDivisionError: r1" in service.log()[-1]["exception"]


@pytest.mark.usefixtures("nats_server")
def test_rubbish_and_refused_orders_leave_a_service_running(place: NodePlace) -> None:
    async def send_rubbish(bus: NatsBus) -> None:
        subject = subjects.order(place.settings.cluster, "shop", "little", "run.script")
        for data in (b"", b"{}", b"\xff" * 100, codec.encode(sample_envelope(ReportFacts()))):
            await bus.publish(subject, data)

    with watched(place, "obey") as service:
        service.wait_for("READY=1")
        on_bus(place, send_rubbish)
        give(place, ForgetScripts(reason="because"))
        assert {service.heard() for _ in range(3)} == {"WATCHDOG=1"}
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == ExitCode.OK
        assert any("because" in record["message"] for record in service.log())


def test_a_killed_bus_does_not_end_a_service_and_is_announced_to_afterwards(
    place: NodePlace, nats_server: NatsServer
) -> None:
    async def started(bus: NatsBus) -> None:
        announced = asyncio.Event()

        async def hear(_subject: str, _data: bytes) -> None:
            announced.set()

        subject = subjects.event(place.settings.cluster, "*", "*", "service.started")
        await bus.subscribe(subject, hear)
        while not announced.is_set():
            # Whether we or the service are back first is chance, and what was said before we are is lost to us.
            await asyncio.to_thread(nats_server.kill)
            await asyncio.to_thread(nats_server.start)
            with suppress(TimeoutError):
                await asyncio.wait_for(announced.wait(), LEASE_INTERVAL_S)

    with watched(place, "obey") as service:
        service.wait_for("READY=1")
        on_bus(place, started)
        service.process.send_signal(signal.SIGTERM)
        assert service.ended() == ExitCode.OK


def test_a_service_that_waits_for_its_bus_does_not_look_hung(place: NodePlace, nats_server: NatsServer) -> None:
    nats_server.kill()
    with watched(place, "obey") as service:
        assert {service.heard() for _ in range(3)} == {"WATCHDOG=1"}
        nats_server.start()
        service.wait_for("READY=1")


def test_a_service_without_a_node_says_so(place: NodePlace) -> None:
    with watched(place, "obey") as service:
        assert service.ended() == ExitCode.UNAVAILABLE
        assert "bus.json" in service.log()[-1]["message"]


def test_a_wrong_configuration_ends_a_service_with_its_code(place: NodePlace) -> None:
    (place.config_dir / "node.toml").write_text("http_port = 0")
    with watched(place, "obey") as service:
        assert service.ended() == ExitCode.CONFIG_INVALID


@contextmanager
def orphan(place: NodePlace, mode: str) -> Iterator[int]:
    """Gives a descriptor of a service (pidfd_open(2)) whose parent has been killed; ends it in any case."""
    with watched(place, "parent", mode) as supervisor:
        supervisor.wait_for("READY=1")
        descriptor = os.pidfd_open(int((place.run_dir / "child").read_text()))
        try:
            supervisor.process.kill()
            yield descriptor
        finally:
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(descriptor)


def is_gone(descriptor: int) -> bool:
    """A descriptor of a process becomes readable when that ends."""
    return bool(select.select([descriptor], [], [], WAIT_S_MAX)[0])


@pytest.mark.usefixtures("nats_server")
def test_an_orphan_lets_go_and_ends(place: NodePlace) -> None:
    with orphan(place, "obey") as descriptor:
        assert is_gone(descriptor)
        assert (place.run_dir / "let-go").exists()


@pytest.mark.usefixtures("nats_server")
def test_an_orphan_that_does_not_let_go_ends_all_the_same(place: NodePlace) -> None:
    """Nobody is left to kill it; it would hold what a new supervisor's services want."""
    with orphan(place, "stubborn") as descriptor:
        assert is_gone(descriptor)
        assert not (place.run_dir / "let-go").exists()
