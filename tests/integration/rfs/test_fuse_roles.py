"""What the file system tells replication, and how it behaves as its node changes roles.

The mount is served by this process, so the tests start no program and map no file while files are open in it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rfs.core.operations import (
    Create,
    MakeDirectory,
    Operation,
    Rename,
    SetMode,
    SetTimes,
    Synchronise,
    Truncate,
    Unlink,
    Write,
)
from services.rfs.faults import FaultyDisk
from services.rfs.fuse import mount
from services.rfs.mountpoint import MountedTree, TreeSettings
from services.rfs.standalone import Unreplicated

pytestmark = pytest.mark.root


class Recorder(Unreplicated):
    """Keeps what was recorded, and what was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.waited = 0
        self.noted: set[bytes] = set()

    def record(self, operation: Operation) -> int:
        if isinstance(operation, Write):
            operation = Write(
                tree=operation.tree, path=operation.path, offset=operation.offset, data=bytes(operation.data)
            )
        assert operation.path in self.noted or isinstance(operation, SetTimes | Synchronise)
        self.operations.append(operation)
        return len(self.operations)

    def before(self, paths: tuple[tuple[int, bytes], ...]) -> None:
        self.noted.update(path for _, path in paths)

    def before_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        self.noted.add(path)

    def before_attributes(self, tree: int, path: bytes) -> None:
        self.noted.add(path)

    def wait(self, sequence: int) -> None:
        self.waited = max(self.waited, sequence)


class Mounted:
    def __init__(self, place: Path) -> None:
        self.path = place / "tree"
        self.path.mkdir()
        self.recorder = Recorder()
        self.disk = FaultyDisk()
        self.tree = MountedTree(
            TreeSettings(
                index=3,
                directory=str(self.path),
                runtime_directory=place / "run",
                is_excluded=lambda path: path.startswith(b"excluded") or path.endswith(b".tmp"),
            ),
            self.recorder,
            self.disk,
        )
        self.root_fd = self.tree.prepare()

    def below(self, name: str) -> int:
        """Open a file below the mount, as the applier of a secondary does."""
        return os.open(name, os.O_RDWR | os.O_CREAT, 0o644, dir_fd=self.root_fd)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path)
    made.tree.start(writable=True)
    try:
        yield made
    finally:
        made.tree.stop()
        assert not mount.is_mounted(str(made.path))


def test_operations_are_recorded_in_order_and_barriers_wait(mounted: Mounted) -> None:
    recorder = mounted.recorder
    os.mkdir(mounted.path / "d", 0o750)
    assert recorder.waited == len(recorder.operations)
    fd = os.open(mounted.path / "d" / "f", os.O_WRONLY | os.O_CREAT, 0o640)
    created = recorder.waited
    os.write(fd, b"data")
    assert recorder.waited == created
    os.fdatasync(fd)
    assert recorder.waited == len(recorder.operations)
    os.close(fd)
    os.rename(mounted.path / "d" / "f", mounted.path / "g")
    os.truncate(mounted.path / "g", 1)
    os.chmod(mounted.path / "g", 0o600)
    os.unlink(mounted.path / "g")
    kinds = [type(each) for each in recorder.operations if not isinstance(each, SetTimes)]
    assert kinds == [MakeDirectory, Create, Write, Synchronise, Rename, Truncate, SetMode, Unlink]
    assert {each.tree for each in recorder.operations} == {3}
    write = next(each for each in recorder.operations if isinstance(each, Write))
    assert (write.path, write.offset, bytes(write.data)) == (b"d/f", 0, b"data")


def test_the_recorded_time_is_the_time_on_disk(mounted: Mounted) -> None:
    (mounted.path / "f").write_bytes(b"x")
    times = [each for each in mounted.recorder.operations if isinstance(each, SetTimes)]
    assert times[-1].mtime_ns == os.stat("f", dir_fd=mounted.root_fd).st_mtime_ns


def test_excluded_paths_are_served_and_not_recorded(mounted: Mounted) -> None:
    (mounted.path / "excluded").mkdir()
    (mounted.path / "excluded" / "f").write_bytes(b"x")
    (mounted.path / "a.tmp").write_bytes(b"x")
    assert mounted.recorder.operations == []
    (mounted.path / "kept").write_bytes(b"x")
    for source, target in (("a.tmp", "a"), ("kept", "excluded/kept")):
        with pytest.raises(OSError) as caught:
            os.rename(mounted.path / source, mounted.path / target)
        assert caught.value.errno == errno.EXDEV
    with pytest.raises(OSError):
        os.link(mounted.path / "kept", mounted.path / "excluded" / "kept")


def test_a_renamed_directory_gives_its_files_new_paths(mounted: Mounted) -> None:
    (mounted.path / "a" / "b").mkdir(parents=True)
    fd = os.open(mounted.path / "a" / "b" / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"1")
    os.rename(mounted.path / "a", mounted.path / "z")
    os.write(fd, b"2")
    os.close(fd)
    paths = [each.path for each in mounted.recorder.operations if isinstance(each, Write)]
    assert paths == [b"a/b/f", b"z/b/f"]


def test_a_secondary_is_read_only_and_shows_what_changes_below(mounted: Mounted) -> None:
    (mounted.path / "f").write_bytes(b"primary")
    reader = os.open(mounted.path / "f", os.O_RDONLY)
    assert (os.read(reader, 20), sorted(os.listdir(mounted.path))) == (b"primary", ["f"])
    mounted.tree.set_writable(False)
    for change in (
        lambda: os.mkdir(mounted.path / "d"),
        lambda: os.unlink(mounted.path / "f"),
        lambda: os.chmod(mounted.path / "f", 0o600),
        lambda: os.open(mounted.path / "f", os.O_WRONLY),
        lambda: os.open(mounted.path / "new", os.O_WRONLY | os.O_CREAT),
    ):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EROFS
    fd = mounted.below("f")
    os.pwrite(fd, b"changed below", 0)
    os.close(fd)
    os.close(mounted.below("new"))
    mounted.tree.invalidate(b"f")
    assert (mounted.path / "f").read_bytes() == b"changed below"
    assert (mounted.path / "f").stat().st_size == 13
    assert sorted(os.listdir(mounted.path)) == ["f", "new"]
    assert os.pread(reader, 20, 0) == b"changed below"
    os.close(reader)


def test_after_promotion_nothing_old_is_believed(mounted: Mounted) -> None:
    mounted.tree.set_writable(False)
    os.close(mounted.below("f"))
    assert (mounted.path / "f").stat().st_size == 0
    assert not (mounted.path / "later").exists()
    fd = mounted.below("f")
    os.pwrite(fd, b"from the former primary", 0)
    os.close(fd)
    os.mkdir("later", dir_fd=mounted.root_fd)
    mounted.tree.set_writable(True)
    with open(mounted.path / "f", "ab", buffering=0) as file:
        file.write(b", continued")
    assert (mounted.path / "f").read_bytes() == b"from the former primary, continued"
    assert (mounted.path / "later").is_dir()


def test_a_file_replaced_below_gets_its_new_contents(mounted: Mounted) -> None:
    mounted.tree.set_writable(False)
    fd = mounted.below("f")
    os.write(fd, b"old")
    os.close(fd)
    assert (mounted.path / "f").read_bytes() == b"old"
    fd = mounted.below("other")
    os.write(fd, b"new file")
    os.close(fd)
    os.rename("other", "f", src_dir_fd=mounted.root_fd, dst_dir_fd=mounted.root_fd)
    mounted.tree.invalidate(b"f")
    assert (mounted.path / "f").read_bytes() == b"new file"


def test_an_error_of_the_disk_reaches_the_application_and_is_not_recorded(mounted: Mounted) -> None:
    fd = os.open(mounted.path / "f", os.O_WRONLY | os.O_CREAT)
    recorded = len(mounted.recorder.operations)
    mounted.disk.arm("write.data", errno.ENOSPC)
    with pytest.raises(OSError) as caught:
        os.write(fd, b"x")
    assert caught.value.errno == errno.ENOSPC
    assert len(mounted.recorder.operations) == recorded
    mounted.disk.disarm()
    assert os.write(fd, b"x") == 1
    os.close(fd)


def test_stop_takes_a_busy_directory_away_and_leaves_ordinary_files(tmp_path: Path) -> None:
    made = Mounted(tmp_path)
    made.tree.start(writable=True)
    (made.path / "f").write_bytes(b"content")
    held = os.open(made.path / "f", os.O_RDWR)
    os.unlink(made.path / "f")
    (made.path / "g").write_bytes(b"stays")
    report = made.tree.stop()
    assert report.was_busy
    assert os.getpid() in {each.pid for each in report.busy}
    with pytest.raises(OSError) as caught:
        os.pread(held, 1, 0)
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
    with pytest.raises(OSError):
        os.close(held)
    assert os.listdir(made.path) == ["g"]
    assert (made.path / "g").read_bytes() == b"stays"


def test_a_dead_mount_is_detached_at_start(tmp_path: Path) -> None:
    made = Mounted(tmp_path)
    dead = os.open("/dev/fuse", os.O_RDWR)
    mount.mount_device(dead, str(made.path))
    os.close(dead)
    assert mount.is_dead(str(made.path))
    os.close(made.root_fd)
    made.tree.prepare()
    made.tree.start(writable=True)
    (made.path / "f").touch()
    assert stat.S_ISREG((made.path / "f").stat().st_mode)
    assert not made.tree.stop().was_busy
