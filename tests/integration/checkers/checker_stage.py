"""A checker service and a neighbour: two network namespaces joined by a cable, a bus, a place for files."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from holdfast.events.module import ResourceReported, WatchResources
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess, run_with_bus

CLONE_NEWNET = 0x40000000
NODE, NEIGHBOUR = "10.98.0.1", "10.98.0.2"
NODE_6, NEIGHBOUR_6 = "fd98::1", "fd98::2"
QUIET = """
ip link set lo up
sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
"""
JOIN = """
ip link add eth0 type veth peer name eth0 netns {neighbour}
ip link set eth0 address 02:98:00:00:00:01 up
ip addr add 10.98.0.1/24 dev eth0 && ip -6 addr add fd98::1/64 dev eth0 nodad
"""
ANSWER = """
ip link set eth0 address 02:98:00:00:00:02 up
ip addr add 10.98.0.2/24 dev eth0 && ip -6 addr add fd98::2/64 dev eth0 nodad
"""


def sh(script: str) -> None:
    """Run a script in the namespace of the calling thread."""
    subprocess.run(["sh", "-ec", script], check=True, timeout=20, stdin=subprocess.DEVNULL)


class Stage:
    """What a scenario works with. The node's namespace is that of the calling thread."""

    def __init__(self, place: NodePlace, listener: Listener, service: ServiceProcess, name: str, peer: int) -> None:
        self.place, self.listener, self.service, self.name = place, listener, service, name
        self.neighbour_pid = peer

    async def watch(self, order: WatchResources, module: str = "shop") -> None:
        await self.listener.order(module, self.name, order)

    async def reported(self, resource: str, value: str) -> ResourceReported:
        return await self.listener.wait_for(
            ResourceReported, lambda fact: (fact.resource, fact.value) == (resource, value)
        )

    def values(self, resource: str) -> list[str]:
        """What was reported of a resource since the listener forgot."""
        facts = [envelope.payload for envelope in self.listener.facts]
        return [fact.value for fact in facts if isinstance(fact, ResourceReported) and fact.resource == resource]

    async def kill_and_restart(self) -> None:
        """SIGKILL, and a new process as the supervisor would make it."""
        self.service.kill()
        self.listener.forget()
        self.service.start()
        await self.listener.service_started(self.name)

    def neighbour(self, script: str) -> None:
        """Run a script where the neighbour is."""
        sh(f"nsenter -t {self.neighbour_pid} -n sh -ec '{script}'")


def play(kind: str, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a scenario with one checker service, in a thread with a namespace of its own; all is gone afterwards."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            _whole(kind, scenario)
        except BaseException as error:  # noqa: BLE001  carried over to the test's own thread
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _whole(kind: str, scenario: Callable[[Stage], Awaitable[None]]) -> None:
    assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0, "unshare(2) needs root"
    neighbour = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    place = NodePlace("node1")
    service = ServiceProcess(place, f"services.checkers.{kind}")

    async def with_bus(listener: Listener, _server: NatsServer) -> None:
        service.start()
        await listener.service_started(f"checker-{kind}")
        await scenario(Stage(place, listener, service, f"checker-{kind}", neighbour.pid))

    try:
        while os.readlink(f"/proc/{neighbour.pid}/ns/net") == os.readlink("/proc/thread-self/ns/net"):
            os.sched_yield()
        sh(QUIET + JOIN.format(neighbour=neighbour.pid))
        sh(f"nsenter -t {neighbour.pid} -n sh -ec '{QUIET}{ANSWER}'")
        run_with_bus(place, with_bus)
    finally:
        service.stop()
        place.remove()
        neighbour.kill()
        neighbour.wait()


def write_program(place: NodePlace, module: str, name: str, text: str) -> Path:
    """Put a program into a module's applied scripts."""
    path = place.settings.module_dir(module) / "active" / "bin" / name  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def is_alive(pid: int) -> bool:
    """Whether a process of ours runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def end(pid: int) -> None:
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
