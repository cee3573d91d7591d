"""A node whose file system hangs, in a way that no signal ends, is killed and taken away like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.lab import process
from holdfast.lab.lab import Lab, destroy
from holdfast.lab.node import Condition, Node
from holdfast.lab.place import kill_group

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3]
WORKER = REPOSITORY / "tests/integration/rfs/stalling_worker.py"
TREE = "/var/lib/tree"
WAIT_S = 20.0


@pytest.fixture
def hung() -> Iterator[Lab]:
    """A lab whose node1 serves a file system with a thread that waits for an answer of its own process."""
    name = f"h{os.getpid()}"
    lab = Lab.create(name, nodes=1, lans=1, disk_bytes=64 * 1024**2)
    node = lab.node("node1")
    node.run(["mkdir", TREE])
    node.run(["touch", f"{TREE}/slow", f"{TREE}/other"])
    worker = node.popen(["python3", str(WORKER), "primary", TREE, "/run/tree"], env={"PYTHONPATH": str(REPOSITORY)})
    application = None
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        node.run(["stat", f"{TREE}/other"])
        application = node.popen(["stat", f"{TREE}/slow"])
        assert worker.stdout.readline() == "stalled\n"
        wait_for_self_wait(node)
        yield lab
    finally:
        if lab.directory.exists():
            destroy(name)
        for started in (worker, application):
            if started is not None:
                kill_group(started)


def wait_for_self_wait(node: Node) -> None:
    """Return when some thread of the node waits in the kernel for the lock of a directory."""
    deadline = time.monotonic() + WAIT_S
    while not any(
        b"inval_entry" in stack.read_bytes() for pid in node.pids for stack in Path(f"/proc/{pid}/task").glob("*/stack")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_node_with_a_hung_file_system_can_be_killed(hung: Lab) -> None:
    node = hung.node("node1")
    marks = [process.mark(pid) for pid in node.pids]
    node.kill()
    assert node.condition() is Condition.OFF
    assert not any(process.is_alive(mark) for mark in marks)
    node.start()


def test_lab_whose_node_was_killed_by_hand_and_hangs_can_be_ended(hung: Lab) -> None:
    init = hung.node("node1").init
    os.kill(init.pid, signal.SIGKILL)
    destroy(hung.name)
    assert not process.is_alive(init)
    assert not hung.directory.exists()


def test_program_that_cannot_begin_holds_up_no_look_at_the_lab(hung: Lab) -> None:
    """While it closes a file of the hung file system, most of a process's /proc entry cannot be read by anybody."""
    node = hung.node("node1")
    begin = (
        f"import os; os.open('{TREE}/other', 0); print('open', flush=True); input(); os.execv('/bin/true', ['true'])"
    )
    stuck = node.popen(["python3", "-c", begin], stdin=subprocess.PIPE)
    try:
        assert stuck.stdout is not None
        assert stuck.stdin is not None
        assert stuck.stdout.readline() == "open\n"
        process.send({pid for pid in node.pids if str(WORKER) in process.arguments(pid)}, signal.SIGKILL)
        stuck.stdin.write("\n")
        stuck.stdin.flush()
        wait_for_hidden_process(node)
        assert node.init in process.of_lab(hung.directory)
        assert len(node.pids) >= 4
        hung.down()
        assert not hung.directory.exists()
    finally:
        kill_group(stuck)


def wait_for_hidden_process(node: Node) -> None:
    """Return when some process of the node cannot be looked at."""
    deadline = time.monotonic() + WAIT_S
    look = ["timeout", "-s", "KILL", "0.5", "cat"]
    while all(subprocess.run([*look, f"/proc/{pid}/stat"], capture_output=True).returncode == 0 for pid in node.pids):
        assert time.monotonic() < deadline
