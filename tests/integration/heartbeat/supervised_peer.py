"""A node whose heartbeat is kept alive by a real supervisor, beside one whose heartbeat a test starts itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast.events.membership import PeerFound
from holdfast.testing.services import Listener

from tests.integration.heartbeat.peers import Peer, free_port

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LOOK_AGAIN_S = 0.005
ANSWER_S_MAX = 5.0
WAIT_S_MAX = 60.0
"""A supervisor imports a lot first; on a loaded machine that takes long."""


class LonePeer(Peer):
    """A peer that leaves the lifeline port to the other node's supervisor, which listens on every address."""

    def listen_as_supervisor(self) -> None:
        return


class SupervisedPeer(LonePeer):
    """A node that a supervisor runs; it brings its own bus."""

    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._begin()
        await self.until(lambda: self.entry().get("ready") is True)
        self.listener = await Listener.connect(self.place)
        await self.announce(self.order())

    def _begin(self) -> None:
        environment = {**os.environ, **self.place.environment, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(HERE / "heartbeat_node.py")]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)

    async def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            await asyncio.to_thread(self.process.wait, WAIT_S_MAX)
        if self.listener is not None:
            await self.listener.close()
        self.place.remove()

    def entry(self) -> dict[str, Any]:
        """What the supervisor says of its heartbeat; empty while it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(ANSWER_S_MAX)
                client.connect(str(self.place.run_dir / "supervisor.sock"))
                client.sendall(b'{"request": "list"}\n')
                services = json.loads(client.makefile().readline())["services"]
        except (OSError, ValueError):
            return {}
        return next((entry for entry in services if entry["service"] == "heartbeat"), {})

    async def until(self, condition: Callable[[], bool]) -> None:
        end_at = time.monotonic() + WAIT_S_MAX
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < end_at, f"did not come true in time: {self.entry()}"
            await asyncio.sleep(LOOK_AGAIN_S)

    async def until_prepared(self, *, not_pids: tuple[int, ...] = ()) -> tuple[int, int]:
        """Return the numbers of the beating process and its spare, once both stand and neither is one of `not_pids`."""
        found: list[tuple[int, int]] = []

        def stands() -> bool:
            entry = self.entry()
            pids = (int(entry.get("pid", 0)), int(entry.get("spare_pid", 0)))
            found[:] = [pids]
            return 0 not in pids and bool(entry["spare_ready"]) and not set(pids) & set(not_pids)

        await self.until(stands)
        return found[0]

    def longest_gap_ms(self, *, after_ns: int) -> float:
        """Return the longest gap between beats that this node's detector has seen since a time."""
        account = json.loads((self.place.run_dir / "heartbeat" / "shop.tally").read_text())
        return max((float(gap["ms"]) for gap in account["gaps"] if gap["at_mono_ns"] >= after_ns), default=0.0)


@asynccontextmanager
async def supervised_pair(*, pulse_ms: int, timeout_ms: int) -> AsyncIterator[tuple[SupervisedPeer, LonePeer]]:
    """Two nodes that have found each other; the first one's heartbeat is supervised."""
    ports = (free_port(), free_port())
    one = SupervisedPeer(1, ports, pulse_ms=pulse_ms, timeout_ms=timeout_ms)
    two = LonePeer(2, ports, pulse_ms=pulse_ms, timeout_ms=timeout_ms)
    try:
        for peer in (one, two):
            await peer.start()
        for peer in (one, two):
            await peer.heard.wait_for(PeerFound)
            peer.heard.forget()
        yield one, two
    finally:
        for peer in (one, two):
            await peer.close()


def kill(*pids: int) -> None:
    """SIGKILL to each."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def stop(*pids: int) -> None:
    """SIGSTOP to each: alive, and deaf to everything."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def go_on(*pids: int) -> None:
    """SIGCONT to each."""
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
