"""Services of ours as real processes on a real bus, for tests: a node's directories, and one service at a time."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from holdfast.bus import subjects
from holdfast.bus.nats import NatsBus
from holdfast.clock import HybridClock, SystemClock
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import Envelope
from holdfast.events.module import ServiceStarted
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.notify import Notifier
from holdfast.settings import NodeSettings, load_settings
from holdfast.testing.nats_server import NatsServer

WAIT_S_MAX = 15.0
"""How long a test waits for a fact; only a failing test ever waits this long."""
FACTS_KEPT_MAX = 4096

Fact = TypeVar("Fact")


class NodePlace:
    """A node's three directories, short enough for Unix socket paths (108 bytes, sockaddr_un), gone after `remove`."""

    def __init__(self, node: str = "node1") -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hf-"))
        self.node = node
        for name in ("etc", "lib", "run"):
            (self.root / name).mkdir()
        self.run_dir = self.root / "run"
        self.state_dir = self.root / "lib"
        self.config_dir = self.root / "etc"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that move a service or command into this place."""
        return {
            "HOLDFAST_NODE": self.node,
            "HOLDFAST_CONFIG_DIR": str(self.config_dir),
            "HOLDFAST_STATE_DIR": str(self.state_dir),
            "HOLDFAST_RUN_DIR": str(self.run_dir),
        }

    @property
    def settings(self) -> NodeSettings:
        return load_settings(self.environment)

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


class ServiceProcess:
    """`python -m <package>` in a place; `kill` is SIGKILL, `stop` is SIGTERM."""

    def __init__(self, place: NodePlace, package: str, *arguments: str) -> None:
        self._place = place
        self._command = [sys.executable, "-m", package, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the service has been started"
        return self._process.pid

    def start(self) -> None:
        environment = {**os.environ, **self._place.environment}
        self._process = subprocess.Popen(self._command, env=environment, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it in order and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(WAIT_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._process = None


class Listener:
    """Hears every fact on a node's bus and gives orders there; stands where the state machine would."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts: list[Envelope[object]] = []
        self._news = asyncio.Condition()

    @classmethod
    async def connect(cls, place: NodePlace) -> Listener:
        clock = SystemClock()
        settings = place.settings
        bus = await NatsBus.connect(settings.run_dir, "test")
        context = Context(
            name="statemachine",
            settings=settings,
            bus=bus,
            clock=clock,
            hybrid=HybridClock(clock),
            notifier=Notifier({}),
        )
        listener = cls(context)
        await context.on_events(listener._hear)
        return listener

    async def order(self, module: str, service: str, order: object, *, trace: str = "") -> None:
        """Send one order to one service about one module."""
        subject = subjects.order(self.context.settings.cluster, module, service, BY_PAYLOAD[type(order)].name)
        await self.context.bus.publish(
            subject, codec.encode(self.context.envelope(ModuleId(module), order, trace=trace))
        )

    async def wait_for(self, kind: type[Fact], condition: Callable[[Fact], bool] = lambda _fact: True) -> Fact:
        """Return the first fact heard of this kind that meets the condition; raise TimeoutError when none comes."""

        def found() -> Fact | None:
            for envelope in self.facts:
                if isinstance(envelope.payload, kind) and condition(envelope.payload):
                    return envelope.payload
            return None

        async with asyncio.timeout(WAIT_S_MAX), self._news:
            await self._news.wait_for(lambda: found() is not None)
        fact = found()
        assert fact is not None
        return fact

    async def service_started(self, service: str) -> None:
        await self.wait_for(ServiceStarted, lambda fact: fact.service == service)

    def forget(self) -> None:
        """Let `wait_for` see only what comes from now on."""
        self.facts.clear()

    async def close(self) -> None:
        await self.context.bus.close()

    async def _hear(self, envelope: Envelope[object]) -> None:
        async with self._news:
            if len(self.facts) < FACTS_KEPT_MAX:
                self.facts.append(envelope)
            self._news.notify_all()


def run_with_bus(place: NodePlace, scenario: Callable[[Listener, NatsServer], Awaitable[None]]) -> None:
    """Run an asynchronous test against a real NATS server in this place; everything is gone afterwards."""
    server = NatsServer(place.run_dir)
    server.start()

    async def run() -> None:
        listener = await Listener.connect(place)
        try:
            await scenario(listener, server)
        finally:
            await listener.close()

    try:
        asyncio.run(run())
    finally:
        server.stop()
