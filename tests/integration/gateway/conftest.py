"""A gateway as a real process on a real bus, with a stand-in for the state machine, and the command line beside it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from holdfast.testing.fake_statemachine import FakeStateMachine
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

CLUSTER = """<cluster><lans>
<lan name="lan1"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
</lans></cluster>
"""
USERCONFIG = """<safe><service mode="mirror">
<heart><heartbeat name="lan1"/></heart>
<user/>
</service></safe>
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shell:
    """Runs `holdfast` in a place."""

    def __init__(self, place: NodePlace) -> None:
        self.place = place

    def run(self, *words: str, code: int = 0, **variables: str) -> str:
        """Run a command, check its exit code, return what it printed (standard error after standard output)."""
        environment = {**os.environ, **self.place.environment, **variables}
        done = subprocess.run(
            [sys.executable, "-m", "services.gateway.cli", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def package(self, text: str = USERCONFIG, **scripts: str) -> Path:
        """A module as a directory laid out like a package."""
        root = self.place.root / "package"
        (root / "conf").mkdir(parents=True, exist_ok=True)
        (root / "bin").mkdir(exist_ok=True)
        (root / "conf" / "userconfig.xml").write_text(text)
        for name, script in scripts.items():
            (root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        return root

    def configured(self, module: str = "shop") -> None:
        """Cluster and one configured module, made before anything runs."""
        file = self.place.root / "cluster.xml"
        file.write_text(CLUSTER)
        self.run("cluster", "config", str(file))
        self.run("module", "install", str(self.package(start_prim="true")), "-m", module)
        self.run("config", "-m", module)


class Web:
    """HTTP to the gateway's loopback port."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, *, host: str = "localhost", body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Host": f"{host}:{self.port}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, text = self.ask("GET", path)
        assert status == 200, text
        return json.loads(text)


class RunningGateway:
    """Gateway, bus and state machine; the bus side runs in a thread of its own with an event loop."""

    def __init__(self, place: NodePlace) -> None:
        self.machine = FakeStateMachine()
        self.shell = Shell(place)
        self.port = free_port()
        (place.config_dir / "node.toml").write_text(f'node = "node1"\nhttp_port = {self.port}\n')
        self.web = Web(self.port)
        self.process = ServiceProcess(place, "services.gateway")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.listener = self.wait(Listener.connect(place))

    def wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start(self) -> None:
        self.listener.forget()
        self.process.start()
        self.wait(self.listener.service_started("gateway"))

    def close(self) -> None:
        self.process.stop()
        self.wait(self.listener.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def shell(place: NodePlace) -> Shell:
    """The command line on a node that does not run."""
    return Shell(place)


@pytest.fixture
def gateway(place: NodePlace, nats_server: NatsServer) -> Iterator[RunningGateway]:
    """A running gateway with one configured module, shop."""
    running = RunningGateway(place)
    try:
        running.wait(running.machine.answer_on(running.listener.context))
        running.shell.configured()
        running.start()
        yield running
    finally:
        running.close()
