"""A worker of the file system is killed again and again under load, and its applications notice nothing."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from services.rfs.fuse import mount

pytestmark = pytest.mark.root

KILLS = 20
REPOSITORY = Path(__file__).parents[3]


class Workers:
    """Keeps the descriptors like the parent process of the service, and runs one worker after another on them."""

    def __init__(self, place: Path) -> None:
        self.tree = place / "tree"
        self.runtime = place / "run"
        self.root_fd = os.open(self.tree, os.O_RDONLY | os.O_DIRECTORY)
        self.device_fd = -1
        self.worker: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "services.rfs.standalone", str(self.tree), str(self.runtime)]
        kept = [self.root_fd]
        command += [f"--root-fd={self.root_fd}"]
        if self.device_fd >= 0:
            kept.append(self.device_fd)
            command.append(f"--device-fd={self.device_fd}")
        self.worker = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=kept, cwd=REPOSITORY)
        assert self.worker.stdout is not None
        assert self.worker.stdout.readline() == b"ready\n"
        if self.device_fd < 0:
            self.device_fd = self._take_device(self.worker.pid)

    @staticmethod
    def _take_device(pid: int) -> int:
        """Take a copy of the worker's device descriptor, as a parent that opened it would have one."""
        libc = ctypes.CDLL(None, use_errno=True)
        for name in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{name}") == "/dev/fuse":
                pidfd = os.pidfd_open(pid)
                fd: int = libc.syscall(438, pidfd, int(name), 0)  # pidfd_getfd(2)
                os.close(pidfd)
                return fd
        raise AssertionError("the worker has no device open")

    def kill(self) -> None:
        assert self.worker is not None
        assert self.worker.stdout is not None
        self.worker.kill()
        self.worker.wait()
        self.worker.stdout.close()

    def hidden(self) -> list[str]:
        """What is kept of deleted files, seen below the mount."""
        try:
            fd = os.open(".holdfast-unlinked", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.root_fd)
        except FileNotFoundError:
            return []
        names = os.listdir(fd)
        os.close(fd)
        return names

    def close(self) -> None:
        if mount.is_mounted(str(self.tree)):
            mount.unmount_busy(str(self.tree))
        if self.worker is not None:
            self.kill()


class Keeper:
    """`Workers` in a process of its own.

    A process with files open on the mount cannot start the worker: its forked child closes its copies of them, and
    waits for the worker to answer that.
    """

    def __init__(self, place: Path) -> None:
        self.tree = place / "tree"
        self.tree.mkdir()
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=keep, args=(place, other), daemon=True)
        self._process.start()
        other.close()

    def do(self, what: str) -> object:
        self._pipe.send(what)
        if not self._pipe.poll(30):
            raise AssertionError(f"the keeper did not {what} within 30 s")
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        try:
            self.do("close")
        finally:
            self._process.terminate()
            self._process.join()
            if mount.is_mounted(str(self.tree)):
                mount.unmount_busy(str(self.tree))


def keep(place: Path, pipe: Connection) -> None:
    """The keeper process: does what it is told, one word at a time."""
    workers = Workers(place)
    while True:
        what = pipe.recv()
        try:
            pipe.send(getattr(workers, what)())
        except (OSError, AssertionError) as error:
            pipe.send(error)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    kept = Keeper(tmp_path)
    try:
        kept.do("start")
        yield kept
    finally:
        kept.close()


class Load(threading.Thread):
    """One application thread: repeats a step until told to stop, and keeps its error."""

    def __init__(self, step: Callable[[int], None]) -> None:
        super().__init__(daemon=True)
        self.step = step
        self.done = 0
        self.error: BaseException | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step(self.done)
                self.done += 1
        except BaseException as error:  # noqa: BLE001 - handed to the test, which raises it
            self.error = error


def database(tree: Path) -> Callable[[int], None]:
    """Write a numbered block, fsync it, read another back."""
    fd = os.open(tree / "database", os.O_RDWR | os.O_CREAT)

    def step(number: int) -> None:
        block = number.to_bytes(8, "big") * 512
        os.pwrite(fd, block, number % 64 * 4096)
        os.fsync(fd)
        assert os.pread(fd, 8, number % 64 * 4096) == block[:8]

    return step


def files(tree: Path) -> Callable[[int], None]:
    """Create exclusively, write, link, rename over another, remove: everything that must not be done twice."""
    place = tree / "files"
    place.mkdir()
    (place / "other").write_bytes(b"other")

    def step(number: int) -> None:
        new, final, linked = place / "new", place / "final", place / "linked"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        os.write(fd, b"%d" % number)
        os.fsync(fd)
        os.close(fd)
        os.link(new, linked)
        os.rename(new, final)
        assert final.read_bytes() == b"%d" % number
        assert final.stat().st_nlink == 2
        linked.unlink()
        (place / "sub").mkdir(mode=0o750)
        os.symlink("final", place / "sub" / "link")
        found = sorted(os.listdir(place))
        assert found == ["final", "other", "sub"], (number, found, os.listdir(place))
        os.unlink(place / "sub" / "link")
        (place / "sub").rmdir()
        if number % 8 == 0:
            final.unlink()

    return step


def deleted(tree: Path) -> Callable[[int], None]:
    """Write and read a file that has no name any more."""
    fd = os.open(tree / "deleted", os.O_RDWR | os.O_CREAT)
    os.unlink(tree / "deleted")

    def step(number: int) -> None:
        os.pwrite(fd, b"%8d" % number, 0)
        assert os.pread(fd, 8, 0) == b"%8d" % number
        assert os.fstat(fd).st_nlink == 0

    return step


@pytest.mark.slow
def test_twenty_killed_workers_cost_no_error_and_no_content(keeper: Keeper) -> None:
    """Writes with fsync, creations, renames, removals and a deleted open file all go on through 20 SIGKILLs."""
    loads = [Load(step(keeper.tree)) for step in (database, files, deleted)]
    for load in loads:
        load.start()
    longest_s = 0.0
    for _ in range(KILLS):
        before = [load.done for load in loads]
        while any(load.done < was + 3 for load, was in zip(loads, before, strict=True)):
            assert [load.error for load in loads] == [None] * len(loads)
            time.sleep(0.01)
        began = time.monotonic()
        keeper.do("kill")
        keeper.do("start")
        longest_s = max(longest_s, time.monotonic() - began)
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(30)
        if load.error is not None:
            raise load.error
        assert not load.is_alive()
    print(f"{KILLS} kills, steps {[load.done for load in loads]}, longest restart {longest_s:.3f} s")
    content = (keeper.tree / "database").read_bytes()
    newest = loads[0].done - 1
    for slot in range(min(64, newest + 1)):
        number = newest - (newest - slot) % 64
        assert content[slot * 4096 : slot * 4096 + 8] == number.to_bytes(8, "big")


def test_a_deleted_open_file_survives_the_worker_and_leaves_nothing_behind(keeper: Keeper) -> None:
    """The file is kept under a hidden name that no listing shows, and goes with its last user."""
    fd = os.open(keeper.tree / "log", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"still here")
    os.unlink(keeper.tree / "log")
    keeper.do("kill")
    keeper.do("start")
    assert os.pread(fd, 20, 0) == b"still here"
    assert os.listdir(keeper.tree) == []
    hidden = keeper.do("hidden")
    assert isinstance(hidden, list)
    assert len(hidden) == 1
    os.close(fd)
    deadline = time.monotonic() + 10
    while keeper.do("hidden") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert keeper.do("hidden") == []


def test_directory_handles_and_positions_survive_the_worker(keeper: Keeper) -> None:
    """A listing begun with one worker is finished by the next, each name once."""
    place = keeper.tree / "many"
    place.mkdir()
    for number in range(3000):
        (place / f"name-{number:05}").touch()
    with os.scandir(place) as entries:
        seen = [next(entries).name for _ in range(10)]
        keeper.do("kill")
        keeper.do("start")
        seen += [entry.name for entry in entries]
    assert sorted(seen) == sorted(f"name-{number:05}" for number in range(3000))
