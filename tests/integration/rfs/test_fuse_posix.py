"""A mounted directory behaves as the directory below it does: POSIX calls as applications use them, and applications.

The file system is served by a process of its own: one that serves a mount and starts programs while it has files
open there would wait for itself.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import CDLL, c_int, c_long, get_errno
from pathlib import Path

import pytest

from services.rfs.fuse import mount

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3]
NOBODY = 65534
libc = CDLL(None, use_errno=True)
libc.fallocate.argtypes = [c_int, c_int, c_long, c_long]


def serve(place: Path) -> Iterator[Path]:
    tree = place / "tree"
    tree.mkdir()
    tree.chmod(0o777)
    command = [sys.executable, "-m", "services.rfs.standalone", str(tree), str(place / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield tree
        finally:
            server.terminate()
            try:
                server.wait(20)
            finally:
                server.kill()
                if mount.is_mounted(str(tree)):
                    mount.unmount_busy(str(tree))


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(0o755)  # pytest makes them private; some tests run as another user
    yield from serve(tmp_path)


def as_nobody(work: Callable[[], None]) -> int:
    """Run in a child process as an ordinary user; returns the errno of its OSError, 0 when there was none."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def failure(work: Callable[[], object]) -> int:
    try:
        work()
    except OSError as error:
        return error.errno or 0
    return 0


def test_it_is_a_fuse_mount(tree: Path) -> None:
    assert mount.is_mounted(str(tree))


def test_names_may_hold_any_bytes_and_be_255_long(tree: Path) -> None:
    name = bytes([0xFF, 0xFE, 0x80, 10, 92]) + b"n" * 250
    path = os.fsencode(tree) + b"/" + name
    os.close(os.open(path, os.O_CREAT))
    assert os.listdir(os.fsencode(tree)) == [name]
    assert failure(lambda: os.open(path + b"n", os.O_CREAT)) == errno.ENAMETOOLONG
    os.unlink(path)
    assert os.listdir(tree) == []


def test_paths_may_be_deep(tree: Path) -> None:
    start = os.open(tree, os.O_RDONLY)
    here = start
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        if here != start:
            os.close(here)
        here = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    assert os.listdir(here) == ["leaf"]
    os.close(here)
    os.close(start)
    assert subprocess.run(["rm", "-rf", str(tree / "d")], timeout=60).returncode == 0


def test_hard_links_are_one_file(tree: Path) -> None:
    (tree / "a").write_text("one")
    (tree / "d").mkdir()
    os.link(tree / "a", tree / "d" / "b")
    assert (tree / "a").stat().st_ino == (tree / "d" / "b").stat().st_ino
    assert (tree / "a").stat().st_nlink == 2
    with open(tree / "a", "r+") as first, open(tree / "d" / "b") as second:
        first.write("two")
        first.flush()
        assert second.read() == "two"
    (tree / "a").unlink()
    assert (tree / "d" / "b").read_text() == "two"
    assert (tree / "d" / "b").stat().st_nlink == 1


def test_rename_in_all_its_forms(tree: Path) -> None:
    (tree / "a").write_text("a")
    (tree / "b").write_text("b")
    (tree / "d" / "sub").mkdir(parents=True)

    def rename2(source: str, target: str, flags: int) -> int:
        at = -100
        done = libc.renameat2(at, bytes(tree / source), at, bytes(tree / target), flags)
        return 0 if done == 0 else get_errno()

    assert rename2("a", "b", 1) == errno.EEXIST
    assert rename2("a", "d", 2) == 0
    assert ((tree / "a" / "sub").is_dir(), (tree / "d").read_text()) == (True, "a")
    assert rename2("a", "d", 2) == 0
    assert rename2("a", "c", 1) == 0
    assert rename2("c", "w", 4) == errno.EINVAL
    os.rename(tree / "c", tree / "b")
    assert (tree / "b").read_text() == "a"
    assert failure(lambda: os.rename(tree / "b", tree / "d")) == errno.EISDIR
    assert failure(lambda: os.rename(tree / "d", tree / "d" / "sub" / "x")) == errno.EINVAL
    os.rename(tree / "d", tree / "e")
    assert (tree / "e" / "sub").is_dir()
    os.rename(tree / "b", tree / "e" / "sub" / "b")
    os.rename(tree / "e" / "sub", tree / "up")
    assert (tree / "up" / "b").read_text() == "a"


def test_deleted_and_replaced_open_files_live_on(tree: Path) -> None:
    with open(tree / "a", "w+b") as deleted, open(tree / "b", "w+b") as replaced:
        deleted.write(b"deleted")
        replaced.write(b"replaced")
        deleted.flush()
        replaced.flush()
        (tree / "a").unlink()
        (tree / "c").write_bytes(b"new")
        os.rename(tree / "c", tree / "b")
        assert sorted(os.listdir(tree)) == ["b"]
        for file, content in ((deleted, b"deleted"), (replaced, b"replaced")):
            file.seek(0)
            assert file.read() == content
            assert os.fstat(file.fileno()).st_nlink == 0
            os.fchmod(file.fileno(), 0o600)
            os.ftruncate(file.fileno(), 3)
            assert os.fstat(file.fileno()).st_size == 3
    assert (tree / "b").read_bytes() == b"new"


def test_owner_mode_umask_and_set_group_id_follow_the_caller(tree: Path) -> None:
    shared = tree / "shared"
    shared.mkdir()
    os.chown(shared, 0, 4242)
    shared.chmod(0o2777)

    def work() -> None:
        os.umask(0o027)
        os.close(os.open(tree / "file", os.O_CREAT, 0o666))
        os.mkdir(shared / "sub", 0o777)
        os.close(os.open(shared / "file", os.O_CREAT, 0o666))
        os.symlink("x", tree / "link")
        os.mkfifo(tree / "fifo", 0o666)

    assert as_nobody(work) == 0

    def of(path: Path) -> tuple[int, int, int]:
        found = path.lstat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    assert of(tree / "file") == (NOBODY, NOBODY, 0o640)
    assert of(shared / "sub") == (NOBODY, 4242, 0o2750)
    assert of(shared / "file") == (NOBODY, 4242, 0o640)
    assert of(tree / "link")[:2] == (NOBODY, NOBODY)
    assert of(tree / "fifo") == (NOBODY, NOBODY, 0o640)


def test_permissions_and_the_sticky_bit_hold(tree: Path) -> None:
    (tree / "private").mkdir(0o700)
    (tree / "sticky").mkdir()
    (tree / "sticky").chmod(0o1777)
    (tree / "sticky" / "file").write_text("x")
    (tree / "readable").write_text("x")
    assert as_nobody(lambda: print(os.listdir(tree / "private"))) == errno.EACCES
    assert as_nobody(lambda: os.unlink(tree / "sticky" / "file")) == errno.EPERM
    assert as_nobody(lambda: os.close(os.open(tree / "readable", os.O_RDONLY))) == 0
    assert as_nobody(lambda: os.close(os.open(tree / "readable", os.O_WRONLY))) == errno.EACCES
    assert as_nobody(lambda: os.chmod(tree / "readable", 0o777)) == errno.EPERM


def test_writing_by_others_clears_set_id_bits(tree: Path) -> None:
    path = tree / "program"
    for change in (
        lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
        lambda: os.truncate(path, 1),
        lambda: _append(path),
    ):
        path.write_text("x")
        path.chmod(0o6777)
        assert as_nobody(change) == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o777
    path.chmod(0o6777)
    os.chown(path, 1, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777


def _append(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"more")
    os.close(fd)


def test_acls_are_kept_inherited_and_enforced(tree: Path) -> None:
    place = tree / "place"
    place.mkdir(0o700)
    (place / "file").write_text("secret")
    (place / "file").chmod(0o600)
    subprocess.run(["setfacl", "-m", "u:nobody:rx", str(place)], check=True)
    assert as_nobody(lambda: os.close(os.open(place / "file", os.O_RDONLY))) == errno.EACCES
    subprocess.run(["setfacl", "-m", "u:nobody:r", str(place / "file")], check=True)
    assert as_nobody(lambda: os.close(os.open(place / "file", os.O_RDONLY))) == 0
    subprocess.run(["setfacl", "-d", "-m", "u:nobody:rwx", str(place)], check=True)
    os.umask(0o077)
    try:
        (place / "new").touch()
        (place / "sub").mkdir()
    finally:
        os.umask(0o022)
    seen = subprocess.run(["getfacl", "-cp", str(place / "new")], check=True, capture_output=True, text=True).stdout
    assert "user:nobody:rwx" in seen
    seen = subprocess.run(["getfacl", "-cp", str(place / "sub")], check=True, capture_output=True, text=True).stdout
    assert "default:user:nobody:rwx" in seen


def test_extended_attributes(tree: Path) -> None:
    (tree / "f").touch()
    os.symlink("f", tree / "link")
    os.setxattr(tree / "f", "user.a", b"\0\xff" * 100, os.XATTR_CREATE)
    assert failure(lambda: os.setxattr(tree / "f", "user.a", b"", os.XATTR_CREATE)) == errno.EEXIST
    assert failure(lambda: os.setxattr(tree / "f", "user.b", b"", os.XATTR_REPLACE)) == errno.ENODATA
    os.setxattr(tree / "f", "trusted.t", b"1")
    assert os.getxattr(tree / "f", "user.a") == b"\0\xff" * 100
    assert sorted(os.listxattr(tree / "f")) == ["trusted.t", "user.a"]
    os.removexattr(tree / "f", "user.a")
    assert failure(lambda: os.getxattr(tree / "f", "user.a")) == errno.ENODATA
    assert failure(lambda: os.setxattr(tree / "link", "user.a", b"", follow_symlinks=False)) == errno.EPERM


def test_times_have_nanoseconds_and_go_before_1970(tree: Path) -> None:
    (tree / "f").touch()
    os.symlink("f", tree / "link")
    for mtime_ns in (1_234_567_890_123_456_789, -5_000_000_001):
        os.utime(tree / "f", ns=(7, mtime_ns))
        assert (tree / "f").stat().st_mtime_ns == mtime_ns
        os.utime(tree / "link", ns=(7, mtime_ns), follow_symlinks=False)
        assert (tree / "link").lstat().st_mtime_ns == mtime_ns


def test_special_files(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with open(tree / "null", "wb") as null:
        null.write(b"gone")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as calling:
        listening.bind(str(tree / "s"))
        listening.listen()
        calling.connect(str(tree / "s"))
    reader = os.open(tree / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tree / "fifo", os.O_WRONLY)
    os.write(writer, b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    os.close(writer)
    assert os.stat(tree / "null").st_rdev == os.makedev(1, 3)


def test_holes_allocation_and_copying(tree: Path) -> None:
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 4096, 1 << 20)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20
    assert os.lseek(fd, 1 << 20, os.SEEK_HOLE) == (1 << 20) + 4096
    assert libc.fallocate(fd, 0, 0, 2 << 20) == 0
    assert os.fstat(fd).st_size == 2 << 20
    assert libc.fallocate(fd, 3, 1 << 20, 4096) == 0  # PUNCH_HOLE | KEEP_SIZE
    assert os.pread(fd, 4096, 1 << 20) == bytes(4096)
    os.pwrite(fd, b"y" * 100_000, 5)
    other = os.open(tree / "g", os.O_RDWR | os.O_CREAT)
    copied = 0
    while copied < 100_005:
        copied += os.copy_file_range(fd, other, 100_005 - copied, copied, copied)
    assert os.pread(other, 200_000, 0) == bytes(5) + b"y" * 100_000
    os.close(fd)
    os.close(other)


def test_shared_mappings_and_direct_input_output(tree: Path) -> None:
    path = tree / "f"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 65536)
    with mmap.mmap(fd, 65536) as mapped:
        mapped[100:105] = b"hello"
        mapped[65530:65536] = b"ending"
        mapped.flush()
        assert os.pread(fd, 5, 100) == b"hello"
    direct = os.open(path, os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    page[:5] = b"PAGES"
    assert os.pwritev(direct, [page], 8192) == 4096
    assert os.pread(fd, 5, 8192) == b"PAGES"
    assert os.preadv(direct, [page], 0) == 4096
    assert page[100:105] == b"hello"
    os.close(direct)
    os.close(fd)


def test_appends_of_several_processes_do_not_overlap(tree: Path) -> None:
    children = []
    for letter in b"abcd":
        child = os.fork()
        if child == 0:
            fd = os.open(tree / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            for _ in range(200):
                os.write(fd, bytes([letter]) * 10)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    content = (tree / "log").read_bytes()
    assert len(content) == 8000
    assert all(len(set(content[at : at + 10])) == 1 for at in range(0, 8000, 10))


def test_locks_are_kept(tree: Path) -> None:
    with open(tree / "f", "w") as one, open(tree / "f", "w") as two:
        fcntl.flock(one, fcntl.LOCK_EX)
        assert failure(lambda: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)) == errno.EWOULDBLOCK
        fcntl.lockf(one, fcntl.LOCK_EX)
        assert as_nobody(lambda: None) == 0


def test_unsupported_things_say_so(tree: Path) -> None:
    assert failure(lambda: os.open(tree, os.O_TMPFILE | os.O_RDWR)) == errno.EOPNOTSUPP
    (tree / "f").touch()
    with open(tree / "f") as file:
        assert failure(lambda: fcntl.ioctl(file, 0x1234, b"x" * 8)) == errno.ENOTTY


def test_random_operations_on_one_file_agree_with_a_plain_file(tree: Path, tmp_path: Path) -> None:
    """Reads, writes, truncation, allocation, holes and mappings in random order, as fsx does it."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ours = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    model = os.open(tmp_path / "model", os.O_RDWR | os.O_CREAT)
    limit = 300_000
    for _ in range(1500):
        offset, length = chance.randrange(limit), chance.randrange(1, 40_000)
        match chance.randrange(8):
            case 0 | 1 | 2:
                data = chance.randbytes(length)
                assert os.pwrite(ours, data, offset) == os.pwrite(model, data, offset)
            case 3 | 4:
                assert os.pread(ours, length, offset) == os.pread(model, length, offset)
            case 5:
                os.ftruncate(ours, offset)
                os.ftruncate(model, offset)
            case 6:
                mode = chance.choice((0, 1, 3, 16))  # plain, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE
                assert libc.fallocate(ours, mode, offset, length) == libc.fallocate(model, mode, offset, length)
            case _:
                size = os.fstat(model).st_size
                assert os.fstat(ours).st_size == size
                if size > 8192:
                    at = chance.randrange(size - 4096)
                    for fd in (ours, model):
                        with mmap.mmap(fd, size) as mapped:
                            mapped[at : at + 4096] = bytes([at % 256]) * 4096
    assert os.pread(ours, limit * 2, 0) == os.pread(model, limit * 2, 0)
    os.close(ours)
    os.close(model)
    assert (tree / "f").read_bytes() == (tmp_path / "model").read_bytes()


def test_many_threads_hammer_one_directory(tree: Path) -> None:
    """Creations, renames, links, removals and listings by eight threads end with what they left."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(40):
                mine = tree / f"{number}-{turn}"
                mine.write_bytes(b"%d" % number * 100)
                os.link(mine, tree / f"{number}-link")
                os.rename(mine, tree / f"{number}-final")
                os.unlink(tree / f"{number}-link")
                assert (tree / f"{number}-final").read_bytes() == b"%d" % number * 100
                assert f"{number}-final" in os.listdir(tree)
        except BaseException as error:  # noqa: BLE001 - raised in the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert sorted(os.listdir(tree)) == [f"{number}-final" for number in range(8)]


def test_sqlite_and_git_work_on_it(tree: Path) -> None:
    for mode in ("wal", "delete"):
        with sqlite3.connect(tree / f"{mode}.db") as database:
            database.execute(f"pragma journal_mode={mode}")
            database.execute("create table t(n integer)")
            for number in range(50):
                database.execute("insert into t values (?)", (number,))
                database.commit()
            assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            assert database.execute("select count(*) from t").fetchone() == (50,)
        database.close()
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example", "-c", "safe.directory=*", "-C", str(tree)]
    subprocess.run([*git, "init", "-q", "r"], check=True, timeout=60)
    git[-1] = str(tree / "r")
    for number in range(50):
        (tree / "r" / f"f{number}").write_text("x" * number)
    subprocess.run([*git, "add", "."], check=True, timeout=60)
    subprocess.run([*git, "commit", "-qm", "all"], check=True, timeout=60)
    subprocess.run(["git", "clone", "-q", str(tree / "r"), str(tree / "c")], check=True, timeout=60)
    assert len(os.listdir(tree / "c")) == 51


@pytest.fixture
def small_tree(tmp_path: Path) -> Iterator[Path]:
    """A tree on a file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], check=True)
    try:
        yield from serve(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_says_so_and_recovers(small_tree: Path) -> None:
    fd = os.open(small_tree / "f", os.O_WRONLY | os.O_CREAT)
    assert failure(lambda: [os.write(fd, bytes(65536)) for _ in range(100)]) == errno.ENOSPC
    os.ftruncate(fd, 0)
    assert os.pwrite(fd, b"room again", 0) == 10
    os.close(fd)
    assert (small_tree / "f").read_bytes() == b"room again"
