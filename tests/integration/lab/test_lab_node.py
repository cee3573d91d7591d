"""What a node has of its own, and what happens when it dies."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.lab import process
from holdfast.lab.errors import LabError, LabNotFoundError, LabUsageError
from holdfast.lab.lab import Lab
from holdfast.lab.node import Condition
from holdfast.lab.place import kill_group

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _nodes_run(lab: Lab) -> Iterator[None]:
    yield
    for node in lab.nodes:
        match node.condition():
            case Condition.OFF:
                node.start()
            case Condition.PAUSED:
                node.resume()
            case Condition.RUNNING:
                pass


def test_node_has_its_own_name_processes_and_network(lab: Lab) -> None:
    node = lab.node("node1")
    assert node.run(["hostname"]).stdout == "node1\n"
    assert node.run(["cat", "/proc/1/comm"]).stdout.startswith("python")
    assert node.run(["ls", "/sys/class/net"]).stdout.split() == ["lan1", "lan2", "lo"]
    assert "node1" not in os.uname().nodename


def test_node_does_not_change_the_machine(lab: Lab) -> None:
    name = f"/etc/holdfast-lab-test-{os.getpid()}"
    lab.node("node1").run(["touch", name, f"/tmp/{Path(name).name}", f"/run/{Path(name).name}"])
    assert not any(Path(where, Path(name).name).exists() for where in ("/etc", "/tmp", "/run"))
    assert lab.node("node2").run(["ls", name], check=False).returncode != 0


@pytest.mark.parametrize("directory", ["/var/lib", "/srv", "/etc/holdfast"])
def test_directories_of_data_are_plain_ext4_with_extended_attributes(lab: Lab, directory: str) -> None:
    node = lab.node("node1")
    assert node.run(["stat", "-f", "-c", "%T", directory]).stdout == "ext2/ext3\n"
    probe = f"import os; os.setxattr('{directory}', 'user.a', b'1'); print(os.getxattr('{directory}', 'user.a'))"
    assert node.run(["python3", "-c", probe]).stdout == "b'1'\n"


def test_fuse_file_system_can_be_served_in_a_node(lab: Lab) -> None:
    probe = "import os; os.close(os.open('/dev/fuse', os.O_RDWR))"
    lab.node("node1").run(["python3", "-c", probe])


def test_kill_ends_every_process_and_keeps_the_disk(lab: Lab) -> None:
    node = lab.node("node1")
    node.run(["sh", "-c", "echo kept > /var/lib/kept; echo kept > /root/kept; echo gone > /tmp/gone; sync"])
    runner = node.popen(["sh", "-c", "setsid sleep 1000 & echo started; wait"])
    try:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "started\n"
        marks = [process.mark(pid) for pid in node.pids]
        assert len(marks) >= 3
        node.kill()
        assert not any(process.is_alive(mark) for mark in marks)
    finally:
        kill_group(runner)
    assert node.condition() is Condition.OFF
    with pytest.raises(LabUsageError, match="node1 is off"):
        node.run(["true"])
    node.start()
    assert node.run(["cat", "/var/lib/kept", "/root/kept"]).stdout == "kept\nkept\n"
    assert node.run(["test", "-e", "/tmp/gone"], check=False).returncode == 1


def test_killed_node_comes_back_with_a_new_network(lab: Lab) -> None:
    node = lab.node("node1")
    node.run(["ip", "addr", "add", "10.77.1.101/24", "dev", "lan1"])
    node.kill()
    node.start()
    assert "10.77.1.101" not in node.run(["ip", "addr"]).stdout
    lab.client.run(["ping", "-c1", "-W2", str(node.ipv4())])


def test_kernel_of_a_node_whose_processes_died_still_answers(lab: Lab) -> None:
    node = lab.node("node1")
    address = str(node.ipv4())
    node.kill(link_up=True)
    lab.client.run(["ping", "-c1", "-W2", address])
    assert node.condition() is Condition.OFF


def test_node_cannot_be_started_or_killed_twice(lab: Lab) -> None:
    node = lab.node("node2")
    with pytest.raises(LabUsageError, match="running"):
        node.start()
    node.kill()
    with pytest.raises(LabUsageError, match="off"):
        node.kill()


def test_paused_node_does_nothing_until_it_is_resumed(lab: Lab) -> None:
    node = lab.node("node1")
    runner = node.popen(["sh", "-c", "echo ready; while read -r line; do echo $line; done"], stdin=-1)
    try:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "ready\n"
        assert node.pause() >= 2
        assert node.condition() is Condition.PAUSED
        assert all((Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) == "T" for pid in node.pids)
        node.resume()
        assert node.condition() is Condition.RUNNING
        assert runner.stdin is not None
        runner.stdin.write("hello\n")
        runner.stdin.flush()
        assert runner.stdout.readline() == "hello\n"
    finally:
        kill_group(runner)


def test_full_disk_is_full_for_that_node_only(lab: Lab) -> None:
    node, other = lab.node("node1"), lab.node("node2")
    write = ["dd", "if=/dev/zero", "of=/var/lib/more", "bs=4096", "count=1"]
    node.fill_disk()
    refused = node.run(write, check=False)
    assert "No space left" in refused.stderr
    other.run(write)
    node.free_disk()
    node.run(write)
    with pytest.raises(LabUsageError, match="not filled"):
        node.free_disk()


def test_service_that_does_not_run_is_not_found(lab: Lab) -> None:
    with pytest.raises(LabNotFoundError, match="'vip'"):
        lab.node("node1").kill_service("vip")


def test_named_service_is_killed_alone(lab: Lab) -> None:
    node = lab.node("node1")
    runner = node.popen(["bash", "-c", "exec -a hf-test sleep 1000"])
    other = node.popen(["python3", "-c", "print('up', flush=True); import time; time.sleep(1000)"])
    try:
        assert other.stdout is not None
        other.stdout.readline()
        name = "import ctypes,time; ctypes.CDLL(None).prctl(15, b'hf-vip'); print('up', flush=True); time.sleep(1000)"
        service = node.popen(["python3", "-c", name])
        try:
            assert service.stdout is not None
            service.stdout.readline()
            assert len(node.kill_service("vip")) == 1
            assert service.wait(timeout=10) != 0
        finally:
            kill_group(service)
        assert other.poll() is None
    finally:
        kill_group(runner)
        kill_group(other)


def test_command_that_takes_too_long_is_ended_with_its_children(lab: Lab) -> None:
    node = lab.node("node1")
    before = len(node.pids)
    with pytest.raises(LabError, match="longer than"):
        node.run(["sh", "-c", "sleep 1000 & sleep 1000"], timeout_s=0.5)
    deadline = time.monotonic() + 10
    while len(node.pids) > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_command_of_a_node_is_kept_running() -> None:
    script = "echo $$ >> /var/lib/starts; exec sleep 1000"
    with Lab.create(f"k{os.getpid()}", nodes=1, command=("sh", "-c", script), disk_bytes=64 * 1024**2) as lab:
        node = lab.node("node1")
        starts = node.root / "var/lib/starts"
        _wait_for_lines(starts, 1)
        node.run(["kill", "-9", starts.read_text().split()[0]])
        _wait_for_lines(starts, 2)


def test_node_whose_command_is_missing_says_so_and_leaves_nothing() -> None:
    name = f"m{os.getpid()}"
    with pytest.raises(LabError, match="no-such-command"):
        Lab.create(name, nodes=1, command=("no-such-command",), disk_bytes=64 * 1024**2)
    with pytest.raises(LabNotFoundError):
        Lab.open(name)


def _wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
