"""One node of a lab, and the client."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from holdfast.lab import disk, namespace, network, power, process, service
from holdfast.lab.addressing import CLIENT_LAN, NodeName, client_endpoint, node_endpoint
from holdfast.lab.errors import LabError, LabUsageError
from holdfast.lab.init import environment
from holdfast.lab.place import Place
from holdfast.lab.process import LAB_VARIABLE, ProcessMark
from holdfast.lab.state import LabState, NodeState, load, locked, save


class Condition(StrEnum):
    """What a node is, as the lab sees it."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


class Node(Place):
    """A node: run commands in it, and break it."""

    def __init__(self, directory: Path, name: NodeName) -> None:
        self._directory = directory
        self.name = name

    def entry(self) -> list[str]:
        return namespace.inside_of(self.init)

    def environment(self) -> dict[str, str]:
        return environment(str(Path(sys.executable).parent))

    @property
    def init(self) -> ProcessMark:
        """The node's first process; raises LabUsageError when the node is off."""
        return self._running()[1]

    @property
    def root(self) -> Path:
        """The node's root directory, as the machine can reach it while the node runs."""
        return Path(f"/proc/{self.init.pid}/root")

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file or directory of the machine into the node; what is there is replaced file by file."""
        place = self.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            shutil.copy2(source, place)

    @property
    def pids(self) -> set[int]:
        """The processes of the node, by the machine's numbers."""
        return process.in_node(self._upper_directory())

    def condition(self) -> Condition:
        """Whether the node runs."""
        return condition_of(self._state()[1])

    def ipv4(self, lan: str = CLIENT_LAN) -> IPv4Address:
        """The node's address on a lan."""
        return node_endpoint(self._state()[0].lan(lan), self.name).ipv4.ip

    def ipv6(self, lan: str = CLIENT_LAN) -> IPv6Address:
        """The node's IPv6 address on a lan."""
        return node_endpoint(self._state()[0].lan(lan), self.name).ipv6.ip

    def start(self) -> None:
        """Switch the node on; its disk is as it was. Raises LabUsageError when it is on."""
        with locked(self._directory):
            state, own = self._state()
            if process.is_alive(own.init):
                raise LabUsageError(f"{self.name} is running")
            own = power.switch_off(state, own)
            save(state.with_node(own))
            own = replace(own, net=network.make_node_network(state, self.name))
            save(state.with_node(own))
            assert own.net is not None
            cradle, init = power.start_init(state, self.name, own.net)
            save(state.with_node(replace(own, cradle=cradle, init=init)))

    def kill(self, *, link_up: bool = False) -> float:
        """End the node at once, and return the monotonic time (seconds) just before.

        Usually as a power cut: the switch ports go down first, so that not even the closing of its
        connections is seen outside. With `link_up` only its processes die; the kernel goes on answering for
        its addresses.
        """
        with locked(self._directory):
            state, own = self._state()
            if not process.is_alive(own.init):
                raise LabUsageError(f"{self.name} is off")
            killed_at = time.monotonic()
            if link_up:
                power.end_processes(state, own)
                process.reap([own.cradle])
                save(state.with_node(replace(own, init=None, cradle=None)))
            else:
                network.set_ports(state, self.name, state.lans, up=False)
                save(state.with_node(power.switch_off(state, own)))
            return killed_at

    def pause(self) -> int:
        """Stop every process of the node (SIGSTOP), and return how many; its kernel goes on."""
        upper = self._upper_directory()
        return process.stop_all(lambda: process.in_node(upper))

    def resume(self) -> None:
        """Let the processes of the node go on."""
        process.send(self.pids, signal.SIGCONT)

    def kill_service(self, name: str) -> list[int]:
        """Kill (SIGKILL) the processes of one service of ours, and return them; raises LabNotFoundError."""
        pids = service.find(name, self.pids)
        process.send(pids, signal.SIGKILL)
        return sorted(pids)

    def fill_disk(self) -> int:
        """Take all free space of the node's disk; returns the bytes taken."""
        return disk.fill(self.init)

    def free_disk(self) -> None:
        """Give the space back."""
        disk.free(self.init)

    def _state(self) -> tuple[LabState, NodeState]:
        state = load(self._directory)
        return state, state.node(self.name)

    def _running(self) -> tuple[LabState, ProcessMark]:
        state, own = self._state()
        if own.init is None or not process.is_alive(own.init):
            raise LabUsageError(f"{self.name} is off", hint=f"holdfast lab start {self.name}")
        return state, own.init

    def _upper_directory(self) -> Path:
        """What names the node in the mount tables of its processes; raises LabUsageError when it is off."""
        return power.upper_directory(self._running()[0], self.name)


class Client(Place):
    """The client: its own network and host name, everything else the machine's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def entry(self) -> list[str]:
        client = load(self._directory).client
        if client is None or not process.is_alive(client):
            raise LabError("the client of this lab is gone", hint="holdfast lab down, then up")
        return namespace.client_of(client)

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        return {**os.environ, LAB_VARIABLE: str(self._directory), "PATH": path}

    @property
    def ipv4(self) -> IPv4Address:
        """The client's address."""
        return client_endpoint().ipv4.ip


def condition_of(node: NodeState) -> Condition:
    """Whether a node runs: it is paused when its first process is stopped."""
    if node.init is None or not process.is_alive(node.init):
        return Condition.OFF
    return Condition.PAUSED if process.is_stopped(node.init) else Condition.RUNNING
