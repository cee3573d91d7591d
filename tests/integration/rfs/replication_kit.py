"""Two copies without a mount: a primary whose operations are done by hand, and a secondary, over loopback."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.clock import SystemClock

from services.rfs import rows
from services.rfs.applied import AppliedState
from services.rfs.changes import ChangeJournal
from services.rfs.core import operations as ops
from services.rfs.core.operations import Operation
from services.rfs.engine import Engine, Promise
from services.rfs.primary import Primary, PrimarySettings
from services.rfs.secondary import PrimaryAddress, Secondary
from services.rfs.stream import Window

KEY = b"a key of a test"
ROOT = Path("/proc/self/fd")


def until(condition: Callable[[], object], *, seconds: float = 20.0, what: str = "") -> None:
    """Wait for a condition that other threads bring about; fail with `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what or condition}"
        time.sleep(0.002)


class PlainTree:
    """A replicated directory without a mount over it."""

    def __init__(self, index: int, path: Path, excluded: Callable[[bytes], bool] = lambda path: False) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.index = index
        self.path = path
        self.root_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._excluded = excluded

    def is_excluded(self, path: bytes) -> bool:
        return self._excluded(path)

    def invalidate(self, path: bytes) -> None:
        return

    def settle(self, path: bytes) -> None:
        return

    def finish_changes(self) -> None:
        return

    def close(self) -> None:
        os.close(self.root_fd)


class Copy:
    """One node: its directory, its data directory, its runtime directory, and what runs on it."""

    def __init__(self, base: Path, name: str) -> None:
        self.base = base
        self.name = name
        self.run = base / f"{name}-run"
        self.run.mkdir(parents=True, exist_ok=True)
        self.path = base / name
        self.trees = [PlainTree(0, self.path)]
        self.journal = ChangeJournal(base / f"{name}-data", trees=1)
        self.primary: Primary | None = None
        self.secondary: Secondary | None = None
        self.engine: Engine | None = None
        self.state = AppliedState(self.run / "applied")
        self._window: Window | None = None

    def become_primary(
        self,
        *,
        epoch: int = 1,
        session: str = "",
        port: int = 0,
        on_disk: bool = True,
        capacity: int = 8 << 20,
    ) -> Primary:
        self._window = Window(self.run / "window", capacity=capacity)
        engine = Engine(self._window, self.journal, [tree.root_fd for tree in self.trees])
        settings = PrimarySettings(
            module="test",
            node=self.name,
            local="127.0.0.1",
            port=port,
            key=KEY,
            epoch=epoch,
            on_disk=on_disk,
            readers=3,
            bytes_per_second=0,
            send_timeout_ms=5000,
            resync_timeout_ms=10_000,
        )
        primary = Primary(engine, self.trees, settings=settings, clock=SystemClock(), changed=lambda: None)
        engine.changed = primary.lost
        primary.start(session=session)
        self.engine, self.primary = engine, primary
        return primary

    def become_secondary(
        self, port: int, *, fence_epoch: int = 0, quarantine: Path | None = None, full: bool = False
    ) -> Secondary:
        address = PrimaryAddress(
            local="127.0.0.1",
            address="127.0.0.1",
            port=port,
            key=KEY,
            module="test",
            node=self.name,
            fence_epoch=fence_epoch,
            send_timeout_ms=5000,
            quarantine=quarantine,
        )
        self.secondary = Secondary(
            self.trees, state=self.state, journal=self.journal, primary=address, full=full, changed=lambda: None
        )
        self.secondary.start()
        return self.secondary

    def stop_primary(self, promise: Promise = Promise.REFUSED) -> None:
        if self.primary is not None:
            self.primary.stop(promise)
            self.primary = None

    def stop_secondary(self) -> None:
        if self.secondary is not None:
            self.secondary.finish()
            self.secondary = None

    def close(self) -> None:
        self.stop_primary(Promise.ENDED)
        self.stop_secondary()
        for tree in self.trees:
            tree.close()
        self.journal.close()


class Hand:
    """Does operations on a primary's directory as the file system does: effect, record, wait."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._root = copy.trees[0].root_fd
        self.lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        assert self._copy.engine is not None
        return self._copy.engine

    def _place(self, path: bytes) -> str:
        return os.path.join(os.fsencode(self._copy.path), path)  # type: ignore[return-value]

    def _parent_mtime(self, path: bytes) -> int:
        return os.stat(os.path.dirname(self._place(path))).st_mtime_ns

    def inode(self, path: bytes) -> int:
        return os.lstat(self._place(path)).st_ino

    def _name(self, paths: tuple[bytes, ...], effect: Callable[[], None], make: Callable[[], Operation]) -> int:
        self.engine.before(tuple((0, path) for path in paths))
        with self.engine.order:
            effect()
            return self.engine.record(make())

    def create(self, path: bytes, mode: int = 0o644) -> int:
        def effect() -> None:
            os.close(os.open(self._place(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            os.chmod(self._place(path), mode)

        sequence = self._name(
            (path,),
            effect,
            lambda: ops.Create(tree=0, path=path, mode=mode, uid=0, gid=0, parent_mtime_ns=self._parent_mtime(path)),
        )
        self.times(path)
        return sequence

    def mkdir(self, path: bytes, mode: int = 0o755) -> int:
        def effect() -> None:
            os.mkdir(self._place(path), mode)
            os.chmod(self._place(path), mode)

        sequence = self._name(
            (path,),
            effect,
            lambda: ops.MakeDirectory(
                tree=0, path=path, mode=mode, uid=0, gid=0, parent_mtime_ns=self._parent_mtime(path)
            ),
        )
        self.times(path)
        return sequence

    def symlink(self, path: bytes, target: bytes) -> int:
        sequence = self._name(
            (path,),
            lambda: os.symlink(target, self._place(path)),
            lambda: ops.MakeSymlink(
                tree=0, path=path, target=target, uid=0, gid=0, parent_mtime_ns=self._parent_mtime(path)
            ),
        )
        self.times(path)
        return sequence

    def fifo(self, path: bytes) -> int:
        sequence = self._name(
            (path,),
            lambda: os.mkfifo(self._place(path), 0o600),
            lambda: ops.MakeNode(
                tree=0,
                path=path,
                mode=stat.S_IFIFO | 0o600,
                device=0,
                uid=0,
                gid=0,
                parent_mtime_ns=self._parent_mtime(path),
            ),
        )
        self.times(path)
        return sequence

    def link(self, path: bytes, source: bytes) -> int:
        return self._name(
            (path, source),
            lambda: os.link(self._place(source), self._place(path)),
            lambda: ops.MakeLink(tree=0, path=path, source=source, parent_mtime_ns=self._parent_mtime(path)),
        )

    def unlink(self, path: bytes) -> int:
        return self._name(
            (path,),
            lambda: os.unlink(self._place(path)),
            lambda: ops.Unlink(tree=0, path=path, parent_mtime_ns=self._parent_mtime(path)),
        )

    def rmdir(self, path: bytes) -> int:
        return self._name(
            (path,),
            lambda: os.rmdir(self._place(path)),
            lambda: ops.RemoveDirectory(tree=0, path=path, parent_mtime_ns=self._parent_mtime(path)),
        )

    def rename(self, path: bytes, target: bytes) -> int:
        return self._name(
            (path, target),
            lambda: os.rename(self._place(path), self._place(target)),
            lambda: ops.Rename(
                tree=0,
                path=path,
                target=target,
                flags=0,
                parent_mtime_ns=self._parent_mtime(path),
                target_parent_mtime_ns=self._parent_mtime(target),
            ),
        )

    def write(self, path: bytes, data: bytes, offset: int = 0) -> int:
        self.engine.before_data(0, path, offset, len(data))
        with self.lock:
            fd = os.open(self._place(path), os.O_WRONLY)
            os.pwrite(fd, data, offset)
            os.close(fd)
            with self.engine.order:
                self.engine.record(ops.Write(tree=0, path=path, offset=offset, data=data))
        return self.times(path)

    def truncate(self, path: bytes, size: int) -> int:
        self.engine.before(((0, path),))
        os.truncate(self._place(path), size)
        with self.engine.order:
            self.engine.record(ops.Truncate(tree=0, path=path, size=size))
        return self.times(path)

    def chmod(self, path: bytes, mode: int) -> int:
        self.engine.before_attributes(0, path)
        os.chmod(self._place(path), mode)
        with self.engine.order:
            return self.engine.record(ops.SetMode(tree=0, path=path, mode=mode))

    def setxattr(self, path: bytes, name: bytes, value: bytes) -> int:
        self.engine.before_attributes(0, path)
        os.setxattr(self._place(path), name, value)
        with self.engine.order:
            return self.engine.record(ops.SetAttribute(tree=0, path=path, name=name, value=value))

    def times(self, path: bytes) -> int:
        """Tell the secondary the modification time as it stands, as the file system does after a change."""
        with self.engine.order:
            found = os.lstat(self._place(path))
            return self.engine.record(ops.SetTimes(tree=0, path=path, mtime_ns=found.st_mtime_ns, atime_ns=-1))

    def fsync(self, path: bytes) -> None:
        with self.engine.order:
            sequence = self.engine.record(ops.Synchronise(tree=0, path=path, data_only=True, whole=False))
        fd = os.open(self._place(path), os.O_RDONLY)
        os.fdatasync(fd)
        os.close(fd)
        self.engine.wait(sequence)


def shape(path: Path) -> dict[bytes, object]:
    """Everything that must be equal on both sides: type, owner, mode, times, size, contents, links, attributes."""
    root_fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    found: dict[bytes, object] = {}
    inodes: dict[int, bytes] = {}
    try:
        top = rows.row_at(root_fd, b"")
        assert top is not None
        found[b""] = (top.mode, top.mtime_ns)
        for directory, below in rows.walk(root_fd, b"", lambda path: False):
            for row in below:
                place = rows.join(directory, row.name)
                first = inodes.setdefault(row.inode, place) if not row.is_directory else b""
                content = b""
                if row.is_regular:
                    content = Path(os.fsdecode(os.path.join(os.fsencode(path), place))).read_bytes()
                found[place] = (row.mode, row.uid, row.gid, row.size, row.mtime_ns, row.extra, first, content)
    finally:
        os.close(root_fd)
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Paths whose shapes differ, in words."""
    ours, theirs = shape(one), shape(other)
    return [
        f"{path!r}: {str(ours.get(path))[:120]} / {str(theirs.get(path))[:120]}"
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    ]


def bring_in_step(primary: Copy, secondary: Copy) -> str:
    """Wait until the secondary is equal, order the session, wait until the secondary knows."""
    assert primary.primary is not None
    assert secondary.secondary is not None
    leading, following = primary.primary, secondary.secondary
    until(lambda: leading.proposed_session, what=f"proposal ({leading.failed} {following.failed} {following.refused})")
    session = leading.proposed_session
    leading.step_in(session)
    until(lambda: following.in_step_session == session, what="in step")
    return session
