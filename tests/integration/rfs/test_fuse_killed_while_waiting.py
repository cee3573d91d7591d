"""A worker is killed while it waits in the kernel for what it should have answered itself, and nothing hangs for ever.

An application looks a name up and holds the directory's lock until it is answered; the worker, with that request in
its hands, tells the kernel to forget a name, which takes the same lock. No signal ends such a wait.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rfs.fuse import mount
from services.rfs.fuse.device import open_device
from services.rfs.mountpoint import MountedTree, TreeSettings
from services.rfs.standalone import Unreplicated
from services.supervisor import remains

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3]
WORKER = Path(__file__).parent / "stalling_worker.py"
WAIT_S = 20
LOOK_AGAIN_S = 0.01


class Stalled:
    """A mounted directory, its worker, and an application that waits for it."""

    def __init__(self, place: Path, role: str) -> None:
        self.place = place
        self.tree = place / "tree"
        self.tree.mkdir()
        for name in ("slow", "other"):
            (self.tree / name).touch()
        self.kept: list[int] = [os.open(self.tree, os.O_RDONLY | os.O_DIRECTORY)]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_worker(role)
        (self.tree / "other").stat()
        self.application = subprocess.Popen(["stat", str(self.tree / "slow")], stdout=subprocess.DEVNULL)
        self.hear("stalled")

    def start_worker(self, role: str, *fds: int) -> None:
        command = [sys.executable, str(WORKER), role, str(self.tree), str(self.place / "run"), *map(str, fds)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=fds, env=environment, bufsize=0)
        self.workers.append(worker)
        self.hear("ready")

    def hear(self, word: str) -> None:
        """Wait for the newest worker's word."""
        said = self.workers[-1].stdout
        assert said is not None
        assert select.select([said], [], [], WAIT_S)[0], f"the worker did not say {word}"
        assert said.readline().decode().strip() == word

    def take_device(self) -> int:
        """A copy of the worker's device, as a supervisor would keep it."""
        pid = self.workers[-1].pid
        libc = ctypes.CDLL(None, use_errno=True)
        name = next(fd for fd in os.listdir(f"/proc/{pid}/fd") if os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/fuse")
        pidfd = os.pidfd_open(pid)
        device: int = libc.syscall(438, pidfd, int(name), 0)  # pidfd_getfd(2)
        os.close(pidfd)
        self.kept.append(device)
        return device

    def close(self) -> None:
        """Abort the connection, so that nothing waits for it any more."""
        while mount.is_mounted(str(self.tree)):
            mount.unmount_busy(str(self.tree))
        for fd in self.kept:
            os.close(fd)
        for process in (*self.workers, self.application):
            process.kill()
            process.wait(WAIT_S)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def stalled_primary(tmp_path: Path) -> Iterator[Stalled]:
    made = Stalled(tmp_path, "primary")
    yield made
    made.close()


def until_it_waits(pid: int) -> None:
    """Return when some thread of a process waits in the kernel for the directory's lock."""
    tasks = Path(f"/proc/{pid}/task")
    while not any(b"inval_entry" in (task / "stack").read_bytes() for task in tasks.iterdir()):
        time.sleep(LOOK_AGAIN_S)


def until_killed_but_there(pid: int) -> None:
    end = time.monotonic() + WAIT_S
    while not remains.waits_for_its_successor(pid):
        assert time.monotonic() < end, "the killed worker ended, or is not recognised"
        time.sleep(LOOK_AGAIN_S)


def test_killed_worker_that_waits_for_itself_is_freed_by_its_successor(stalled_primary: Stalled) -> None:
    device = stalled_primary.take_device()
    first = stalled_primary.workers[0]
    assert not remains.waits_for_its_successor(first.pid)
    until_it_waits(first.pid)
    first.kill()
    until_killed_but_there(first.pid)
    stalled_primary.start_worker("primary", device, stalled_primary.kept[0])
    assert stalled_primary.application.wait(WAIT_S) == 0
    assert first.wait(WAIT_S) == -signal.SIGKILL
    (stalled_primary.tree / "after").touch()


def test_killed_worker_without_successor_is_freed_by_ending_its_mount(stalled_primary: Stalled) -> None:
    device = stalled_primary.take_device()
    first = stalled_primary.workers[0]
    until_it_waits(first.pid)
    first.kill()
    until_killed_but_there(first.pid)
    if b"fuse_connection" not in Path(f"/proc/self/fdinfo/{device}").read_bytes():
        pytest.skip("this kernel does not tell which connection a device belongs to")
    remains.abort_connections([device])
    assert first.wait(WAIT_S) == -signal.SIGKILL
    assert stalled_primary.application.wait(WAIT_S) != 0
    assert not mount.is_mounted(str(stalled_primary.tree))


def test_next_mount_ends_one_that_a_killed_worker_keeps_open(stalled_primary: Stalled, tmp_path: Path) -> None:
    first = stalled_primary.workers[0]
    until_it_waits(first.pid)
    first.kill()
    until_killed_but_there(first.pid)
    settings = TreeSettings(
        index=0,
        directory=str(stalled_primary.tree),
        runtime_directory=tmp_path / "next",
        is_excluded=lambda path: False,
    )
    tree = MountedTree(settings, Unreplicated())
    tree.prepare()
    assert first.wait(WAIT_S) == -signal.SIGKILL
    assert sorted(os.listdir(tree.root_fd)) == ["other", "slow"]
    os.close(tree.root_fd)


def test_secondary_does_not_wait_for_lookups_when_names_change(tmp_path: Path) -> None:
    stalled = Stalled(tmp_path, "secondary")
    try:
        stalled.hear("done")
        stalled.workers[0].kill()
        assert stalled.workers[0].wait(WAIT_S) == -signal.SIGKILL
        assert stalled.application.wait(WAIT_S) != 0
    finally:
        stalled.close()


def test_device_that_nobody_reads_is_taken_off_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "ANSWER_S_MAX", 0.2)
    unread = open_device()
    try:
        mount.mount_device(unread, str(tmp_path))
        assert mount.detach_dead(str(tmp_path)) == 1
        assert not mount.is_mounted(str(tmp_path))
    finally:
        os.close(unread)
