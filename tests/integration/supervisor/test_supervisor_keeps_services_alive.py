"""A real supervisor with small services that die, hang, keep descriptors, or are not there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from holdfast.bus.nats import read_address
from holdfast.testing.services import NodePlace

from services.rfs.fuse import mount

WAIT_S_MAX = 20.0
LOOK_AGAIN_S = 0.01
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class SupervisedNode:
    """One supervisor and what can be asked of it."""

    def __init__(self, place: NodePlace, *services: str) -> None:
        self.place = place
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.lifeline_port = int(probe.getsockname()[1])
        (place.config_dir / "node.toml").write_text(f"lifeline_port = {self.lifeline_port}\n")
        command = [sys.executable, str(HERE / "supervised_node.py"), *services]
        environment = {**os.environ, **place.environment, "PYTHONPATH": str(ROOT)}
        self.log = place.root / "stderr"
        with self.log.open("w") as stderr:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=stderr)

    def ask(self, **request: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(WAIT_S_MAX)
            client.connect(str(self.place.run_dir / "supervisor.sock"))
            client.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(client.makefile().readline())
        return answer

    def services(self) -> dict[str, dict[str, Any]]:
        try:
            return {entry["service"]: entry for entry in self.ask(request="list")["services"]}
        except (OSError, ValueError):
            return {}

    def pid(self, service: str) -> int:
        return int(self.services().get(service, {}).get("pid", 0))

    def until_ready(self, service: str, *, not_pid: int = 0) -> int:
        """Return the process number of a service once it is ready (as another process than `not_pid`)."""

        def found() -> bool:
            entry = self.services().get(service, {})
            return bool(entry.get("ready")) and entry["pid"] not in (0, not_pid)

        until(found)
        return self.pid(service)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S_MAX)


def until(condition: Callable[[], bool]) -> None:
    end_at = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < end_at, "did not come true in time"
        time.sleep(LOOK_AGAIN_S)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


Start = Callable[..., SupervisedNode]


@pytest.fixture
def start() -> Iterator[Start]:
    place = NodePlace()
    nodes: list[SupervisedNode] = []

    def begin(*services: str) -> SupervisedNode:
        nodes.append(SupervisedNode(place, *services))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.end()
    place.remove()


def test_a_killed_service_is_started_again(start: Start) -> None:
    node = start("statemachine", "plain")
    first = node.until_ready("plain")
    os.kill(first, signal.SIGKILL)
    second = node.until_ready("plain", not_pid=first)
    assert second != first
    assert node.services()["plain"]["restarts"] == 1


def test_a_killed_bus_comes_back_where_it_was(start: Start) -> None:
    """Clients reconnect to the address that they know."""
    node = start("statemachine")
    node.until_ready("statemachine")
    url, token = read_address(node.place.run_dir)
    host, _, port = url.removeprefix("nats://").rpartition(":")

    def answers() -> bool:
        try:
            with socket.create_connection((host, int(port)), 1.0) as client:
                return client.recv(5) == b"INFO "
        except OSError:
            return False

    until(answers)
    first = node.pid("nats-server")
    os.kill(first, signal.SIGKILL)
    until(lambda: node.pid("nats-server") not in (0, first) and answers())
    assert read_address(node.place.run_dir) == (url, token)


def test_a_service_that_hangs_is_killed_and_started_again(start: Start) -> None:
    """A heartbeat has two seconds."""
    node = start("statemachine", "heartbeat")
    first = node.until_ready("heartbeat")
    os.kill(first, signal.SIGSTOP)
    node.until_ready("heartbeat", not_pid=first)
    assert is_gone(first)


def test_a_supervisor_that_was_stopped_itself_kills_nobody(start: Start) -> None:
    """Leases that nobody could see renewed are extended."""
    node = start("statemachine", "heartbeat")
    first = node.until_ready("heartbeat")
    everybody = [node.process.pid, first]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)  # the length of the stall itself, longer than the lease
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert node.until_ready("heartbeat") == first


def test_descriptors_survive_the_service_that_kept_them(start: Start) -> None:
    """The count is in a memory file that only its descriptor keeps alive."""
    node = start("statemachine", "keeper")
    lives = node.place.run_dir / "lives"
    for expected in range(1, 4):
        pid = node.until_ready("keeper")
        until(lambda expected=expected: lives.read_text() == str(expected))  # type: ignore[misc]
        assert node.services()["keeper"]["kept"] == ["count"]
        os.kill(pid, signal.SIGKILL)
        node.until_ready("keeper", not_pid=pid)


@pytest.fixture
def waiting_for_itself(start: Start) -> Iterator[tuple[SupervisedNode, int, subprocess.Popen[bytes]]]:
    """A node whose service waits for itself and would not survive a signal, that service, and who waits for it."""
    node = start("statemachine")
    node.until_ready("statemachine")
    tree = node.place.run_dir / "tree"
    tree.mkdir()
    (tree / "slow").touch()
    (tree / "other").touch()
    (node.place.run_dir / "services.json").write_text('{"services": ["stalling"]}')
    first = node.until_ready("stalling")
    until(lambda: node.services()["stalling"]["kept"] == ["device", "root"])
    try:
        (tree / "other").stat()
        application = subprocess.Popen(["stat", str(tree / "slow")], stdout=subprocess.DEVNULL)
        tasks = Path(f"/proc/{first}/task")
        until(lambda: any(b"inval_entry" in (task / "stack").read_bytes() for task in tasks.iterdir()))
        yield node, first, application
    finally:
        while mount.is_mounted(str(tree)):
            mount.unmount_busy(str(tree))
        application.kill()
        application.wait(WAIT_S_MAX)


@pytest.mark.root
def test_a_killed_service_that_waits_for_itself_is_freed_by_its_successor(
    waiting_for_itself: tuple[SupervisedNode, int, subprocess.Popen[bytes]],
) -> None:
    node, first, application = waiting_for_itself
    os.kill(first, signal.SIGKILL)
    node.until_ready("stalling", not_pid=first)
    assert application.wait(WAIT_S_MAX) == 0
    until(lambda: is_gone(first))


@pytest.mark.root
def test_a_node_ends_though_a_killed_service_waits_for_itself(
    waiting_for_itself: tuple[SupervisedNode, int, subprocess.Popen[bytes]],
) -> None:
    """Nobody is started in its place any more, so its mounts end with it."""
    node, first, application = waiting_for_itself
    node.process.send_signal(signal.SIGTERM)
    node.process.wait(WAIT_S_MAX)
    until(lambda: is_gone(first))
    application.wait(WAIT_S_MAX)
    assert not mount.is_mounted(str(node.place.run_dir / "tree"))


def test_optional_services_come_and_go_with_the_wanted_list(start: Start) -> None:
    node = start("statemachine")
    node.until_ready("statemachine")
    wanted = node.place.run_dir / "services.json"
    wanted.write_text('{"services": ["plain@shop", "no-such-kind", "plain@web"]}')
    shop = node.until_ready("plain@shop")
    node.until_ready("plain@web")
    wanted.write_text('{"services": ["plain@web"]}')
    until(lambda: "plain@shop" not in node.services())
    assert is_gone(shop)
    wanted.write_text("this is not JSON")
    os.kill(node.until_ready("plain@web"), signal.SIGKILL)
    node.until_ready("plain@web")


def test_a_service_without_code_is_reported_and_the_others_run(start: Start) -> None:
    node = start("statemachine", "missing")
    node.until_ready("statemachine")
    until(lambda: "services.there_is_no_such" in node.log.read_text())
    assert node.services()["missing"]["ready"] is False
    assert node.process.poll() is None


def test_everything_ends_with_the_supervisor(start: Start) -> None:
    """SIGKILL of the supervisor: services and bus end, the lifeline closes."""
    node = start("statemachine", "plain")
    pids = [node.until_ready("plain"), node.until_ready("statemachine"), node.pid("nats-server")]
    with socket.create_connection(("127.0.0.1", node.lifeline_port), WAIT_S_MAX) as lifeline:
        lifeline.settimeout(WAIT_S_MAX)
        lifeline.sendall(b"anything")
        node.process.kill()
        node.process.wait(WAIT_S_MAX)
        try:
            assert lifeline.recv(1) == b""
        except ConnectionResetError:
            pass
    for pid in pids:
        until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]


def test_the_lifeline_holds_ipv6_and_discards_what_it_hears(start: Start) -> None:
    node = start("statemachine")
    node.until_ready("statemachine")
    with socket.create_connection(("::1", node.lifeline_port), WAIT_S_MAX) as lifeline:
        lifeline.sendall(b"x" * 10_000)
        lifeline.settimeout(0.2)
        with pytest.raises(TimeoutError):
            lifeline.recv(1)


def test_sigterm_ends_the_state_machine_before_everything_else(start: Start) -> None:
    """It needs the others to stop the modules."""
    node = start("plain", "statemachine")
    node.until_ready("plain")
    node.until_ready("statemachine")
    node.process.terminate()
    assert node.process.wait(WAIT_S_MAX) == 0
    run_dir = node.place.run_dir
    first, second = (int((run_dir / f"stopped-{name}").read_text()) for name in ("statemachine", "plain"))
    assert first < second


def test_a_node_without_a_working_state_machine_gives_up(start: Start) -> None:
    """Self-fencing: nothing of ours runs on, and the exit code says so."""
    place = NodePlace()
    try:
        (place.root / "sub.py").write_text("")
        command = [sys.executable, "-c", _FAILING, "plain", "statemachine"]
        environment = {**os.environ, **place.environment, "PYTHONPATH": str(ROOT)}
        (place.config_dir / "node.toml").write_text("lifeline_port = 1\n")
        ended = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
        assert ended.returncode == 7
        assert b"cannot be kept alive" in ended.stderr
        assert (place.run_dir / "stopped-plain").exists()
    finally:
        place.remove()


_FAILING = """
import logging, sys
from holdfast.settings import load_settings
from services.supervisor.registry import Registry
from services.supervisor.service import Supervisor
modules = {"plain": "holdfast.testing.supervised", "statemachine": "services.there_is_no_such"}
logging.basicConfig(stream=sys.stderr)
sys.exit(Supervisor(load_settings(), Registry(always=tuple(sys.argv[1:]), modules=modules)).run())
"""


def test_rubbish_on_the_control_socket_gets_an_error(start: Start) -> None:
    node = start("statemachine")
    node.until_ready("statemachine")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(node.place.run_dir / "supervisor.sock"))
        client.sendall(b"\x00\xff not json\n[1]\n")
        answers = client.makefile()
        assert "error" in json.loads(answers.readline())
        assert "error" in json.loads(answers.readline())
    assert "unknown request" in node.ask(request="dance")["error"]
    assert "not running" in node.ask(request="restart", service="nobody")["error"]


def test_a_second_supervisor_is_refused(start: Start) -> None:
    """Two of them would fight over the bus and the addresses."""
    place = NodePlace()
    try:
        environment = {**os.environ, **place.environment}
        command = [sys.executable, "-m", "services.supervisor"]
        holder = (
            "import fcntl, os, sys, time\n"
            f"fd = os.open({str(place.run_dir / 'supervisor.lock')!r}, os.O_RDWR | os.O_CREAT)\n"
            "fcntl.flock(fd, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()\n"
        )
        with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False)
            other.kill()
        assert ended.returncode == 8
        assert b"a node already runs" in ended.stderr
    finally:
        place.remove()
