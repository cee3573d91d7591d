"""Carrying out the primary's operations on the secondary's copy, in order and exactly."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence

from holdfast.errors import StorageError

from services.rfs import beneath, equaliser, libc
from services.rfs.applied import AppliedState
from services.rfs.beneath import Beneath
from services.rfs.changes import ChangeJournal, note_operation
from services.rfs.core import operations as ops
from services.rfs.core.limits import WRITE_OUT_BYTES
from services.rfs.core.markers import Equalise, Remove
from services.rfs.quarantine import Quarantine
from services.rfs.syncing import Syncing

RENAME_EXCHANGE = 2
"""linux/fs.h"""
CLEAN_MAX = 10_000
"""Files remembered as durable as a whole; beyond it all are forgotten, which costs one full fsync each."""
_FALLOC_KEEP_SIZE = 1
_FALLOC_PUNCH_HOLE = 2
_FALLOC_ZERO_RANGE = 16
_ZEROS = bytes(1 << 20)


class OutOfStepError(StorageError):
    """This copy no longer follows the primary: an operation could not be applied as the primary did it."""


class Applier:
    """Applies operations one after the other; for one thread.

    Whatever cannot be done raises OutOfStepError with operation, path and reason; nothing is skipped.
    """

    def __init__(
        self,
        roots: Sequence[int],
        *,
        state: AppliedState,
        journal: ChangeJournal,
        syncing: Syncing,
        changed: Callable[[int, bytes], None] = lambda tree, path: None,
    ) -> None:
        """`roots` are descriptors of the real directories; `changed` is told of each path for the kernel's cache."""
        self._roots = tuple(roots)
        self._state = state
        self._journal = journal
        self._syncing = syncing
        self._changed = changed
        self._trees = tuple(Beneath(root, closing=syncing.settle) for root in self._roots)
        self._clean: set[tuple[int, bytes]] = set()
        self.quarantine: Quarantine | None = None

    def apply(self, item: ops.Operation, *, repeated: bool = False) -> None:
        """Do one operation. `repeated`: it may have been done already, just before a restart."""
        if item.tree >= len(self._trees):
            raise OutOfStepError(f"the primary replicates a directory number {item.tree} that this node has not")
        try:
            if type(item) is ops.Write:
                self._journal.note_data(item.tree, item.path, item.offset, len(item.data))
                fd = self._trees[item.tree].file(item.path)
                _write(fd, item.data, item.offset)
                if len(item.data) >= WRITE_OUT_BYTES:
                    libc.start_write_out(fd, item.offset, len(item.data))
            else:
                note_operation(self._journal, item)
                if type(item) is not ops.SetTimes and type(item) is not ops.Synchronise:
                    self._clean.discard((item.tree, item.path))
                if type(item) is ops.Rename:
                    self._clean.discard((item.tree, item.target))
                self._apply(self._trees[item.tree], item, repeated)
        except OSError as error:
            raise OutOfStepError(
                f"{type(item).__name__} of {os.fsdecode(item.path)!r} in directory {item.tree} failed here:"
                f" {error.strerror}",
                hint="this copy is resynchronised when the cause is gone",
            ) from error
        self._changed(item.tree, item.path)

    def close(self) -> None:
        for tree in self._trees:
            tree.close()

    def _apply(self, tree: Beneath, item: ops.Operation, repeated: bool) -> None:
        match item:
            case ops.SetTimes():
                _set_times(tree, item)
            case ops.Synchronise():
                self._synchronise(tree, item)
            case ops.Create():
                _create(tree, item)
            case ops.MakeDirectory():
                _make_directory(tree, item)
            case ops.MakeNode():
                _make_node(tree, item)
            case ops.MakeSymlink():
                _make_symlink(tree, item)
            case ops.MakeLink():
                _make_link(tree, item)
            case ops.Unlink():
                _unlink(tree, item)
            case ops.RemoveDirectory():
                _remove_directory(tree, item)
            case ops.Rename():
                self._rename(tree, item, repeated)
            case ops.Truncate():
                os.ftruncate(tree.file(item.path), item.size)
            case ops.Allocate():
                _allocate(tree.file(item.path), item, repeated)
            case Equalise():
                equaliser.equalise(tree, item, self.quarantine)
            case Remove():
                equaliser.remove(tree, item, self.quarantine)
            case _:
                _set_attributes(tree, item)

    def _rename(self, tree: Beneath, item: ops.Rename, repeated: bool) -> None:
        tree.forget(item.path)
        tree.forget(item.target)
        source_fd, source = tree.place(item.path)
        # The second `place` may evict the first one's directory from a full cache; a descriptor of our own cannot go.
        source_fd = os.dup(source_fd)
        try:
            target_fd, target = tree.place(item.target)
            if item.flags & RENAME_EXCHANGE:
                self._exchange((source_fd, source), (target_fd, target), repeated)
            else:
                _move((source_fd, source), (target_fd, target))
            beneath.set_descriptor_times(source_fd, item.parent_mtime_ns)
            beneath.set_descriptor_times(target_fd, item.target_parent_mtime_ns)
        finally:
            os.close(source_fd)
        self._changed(item.tree, item.target)

    def _exchange(self, source: tuple[int, bytes], target: tuple[int, bytes], repeated: bool) -> None:
        position = self._state.position
        inode = os.stat(target[1], dir_fd=target[0], follow_symlinks=False).st_ino
        if repeated and self._state.intent == (position, inode):
            return
        coming = os.stat(source[1], dir_fd=source[0], follow_symlinks=False).st_ino
        self._state.intent = (position, coming)
        beneath.rename(source[0], source[1], target[0], target[1], RENAME_EXCHANGE)

    def _synchronise(self, tree: Beneath, item: ops.Synchronise) -> None:
        if item.whole:
            self._syncing.add_whole(self._roots[item.tree])
            return
        fd = tree.opened(item.path)
        if fd is not None:
            self._syncing.add(fd, data_only=item.data_only or self._is_clean(item))
            return
        parent_fd, name = tree.place(item.path)
        try:
            mode = os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return  # The file has lost its name since; nobody can find it after a crash.
        if stat.S_ISREG(mode):
            self._syncing.add(tree.file(item.path), data_only=item.data_only or self._is_clean(item))
        elif stat.S_ISDIR(mode):
            os.fsync(tree.directory(item.path))

    def _is_clean(self, item: ops.Synchronise) -> bool:
        """True when nothing but data and times changed since the file was last made durable as a whole.

        Then fdatasync is enough here: a modification time that both machines lose at once is no loss of data, and a
        resync after a crash of one compares it.
        """
        key = (item.tree, item.path)
        if key in self._clean:
            return True
        if len(self._clean) >= CLEAN_MAX:
            self._clean.clear()
        self._clean.add(key)
        return False


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def _parent_mtime(parent_fd: int, mtime_ns: int) -> None:
    beneath.set_descriptor_times(parent_fd, mtime_ns)


def _create(tree: Beneath, item: ops.Create) -> None:
    parent_fd, name = tree.place(item.path)
    tree.forget_file(item.path)
    fd = os.open(name, beneath.FILE_FLAGS | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=parent_fd)
    os.fchown(fd, item.uid, item.gid)
    os.fchmod(fd, item.mode & 0o7777)
    _parent_mtime(parent_fd, item.parent_mtime_ns)
    tree.keep(item.path, fd)


def _make_directory(tree: Beneath, item: ops.MakeDirectory) -> None:
    parent_fd, name = tree.place(item.path)
    try:
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            raise
    os.chown(name, item.uid, item.gid, dir_fd=parent_fd, follow_symlinks=False)
    os.chmod(name, item.mode & 0o7777, dir_fd=parent_fd)
    _parent_mtime(parent_fd, item.parent_mtime_ns)


def _make_node(tree: Beneath, item: ops.MakeNode) -> None:
    parent_fd, name = tree.place(item.path)
    try:
        os.mknod(name, item.mode, item.device, dir_fd=parent_fd)
    except FileExistsError:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(item.mode) or found.st_rdev != item.device:
            raise
    os.chown(name, item.uid, item.gid, dir_fd=parent_fd, follow_symlinks=False)
    os.chmod(name, item.mode & 0o7777, dir_fd=parent_fd)
    _parent_mtime(parent_fd, item.parent_mtime_ns)


def _make_symlink(tree: Beneath, item: ops.MakeSymlink) -> None:
    parent_fd, name = tree.place(item.path)
    try:
        os.symlink(item.target, name, dir_fd=parent_fd)
    except FileExistsError:
        if os.readlink(name, dir_fd=parent_fd) != item.target:
            raise
    os.chown(name, item.uid, item.gid, dir_fd=parent_fd, follow_symlinks=False)
    _parent_mtime(parent_fd, item.parent_mtime_ns)


def _make_link(tree: Beneath, item: ops.MakeLink) -> None:
    source_fd, source = tree.place(item.source)
    source_fd = os.dup(source_fd)
    try:
        parent_fd, name = tree.place(item.path)
        try:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            there = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if there.st_ino != os.stat(source, dir_fd=source_fd, follow_symlinks=False).st_ino:
                raise
        _parent_mtime(parent_fd, item.parent_mtime_ns)
    finally:
        os.close(source_fd)


def _unlink(tree: Beneath, item: ops.Unlink) -> None:
    tree.forget_file(item.path)
    parent_fd, name = tree.place(item.path)
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        pass  # Done before a restart of either side.
    _parent_mtime(parent_fd, item.parent_mtime_ns)


def _remove_directory(tree: Beneath, item: ops.RemoveDirectory) -> None:
    tree.forget(item.path)
    parent_fd, name = tree.place(item.path)
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except FileNotFoundError:
        pass  # Done before a restart of either side.
    _parent_mtime(parent_fd, item.parent_mtime_ns)


def _move(source: tuple[int, bytes], target: tuple[int, bytes]) -> None:
    """Rename over whatever is there. A missing source with the target in place means that it was done before."""
    try:
        beneath.rename(source[0], source[1], target[0], target[1], 0)
    except FileNotFoundError:
        os.stat(target[1], dir_fd=target[0], follow_symlinks=False)


def _allocate(fd: int, item: ops.Allocate, repeated: bool) -> None:
    if repeated and item.is_shift:
        raise OSError(errno.EINVAL, "a shift of a file's contents may have been done already", item.path)
    try:
        beneath.allocate(fd, item.mode, item.offset, item.length)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP or item.is_shift:
            raise
        _allocate_by_hand(fd, item)


def _allocate_by_hand(fd: int, item: ops.Allocate) -> None:
    """The same visible result on a file system without fallocate(2): space is not reserved, contents are right."""
    end = item.offset + item.length
    size = os.fstat(fd).st_size
    if item.mode & (_FALLOC_PUNCH_HOLE | _FALLOC_ZERO_RANGE):
        offset = item.offset
        while offset < min(end, size):
            offset += os.pwrite(fd, _ZEROS[: min(end, size) - offset], offset)
    if not item.mode & _FALLOC_KEEP_SIZE and end > size:
        os.ftruncate(fd, end)


def _set_times(tree: Beneath, item: ops.SetTimes) -> None:
    fd = tree.opened(item.path)
    if fd is not None:
        beneath.set_descriptor_times(fd, item.mtime_ns, item.atime_ns)
        return
    parent_fd, name = tree.place(item.path)
    beneath.set_times(parent_fd, name, item.mtime_ns, item.atime_ns)


def _set_attributes(tree: Beneath, item: ops.Operation) -> None:
    parent_fd, name = tree.place(item.path)
    match item:
        case ops.SetMode():
            _chmod(parent_fd, name, item.mode)
        case ops.SetOwner():
            os.chown(name, item.uid, item.gid, dir_fd=parent_fd, follow_symlinks=False)
            if not stat.S_ISLNK(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                _chmod(parent_fd, name, item.mode)
        case ops.SetAttribute():
            os.setxattr(beneath.named(parent_fd, name), item.name, item.value, follow_symlinks=False)
        case ops.RemoveAttribute():
            try:
                os.removexattr(beneath.named(parent_fd, name), item.name, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.ENODATA:
                    raise
        case _:
            raise OSError(errno.EINVAL, f"an operation {type(item).__name__} that is not known here", item.path)


def _chmod(parent_fd: int, name: bytes, mode: int) -> None:
    """Set the mode of what `name` is; a symbolic link there is an error, never followed."""
    if stat.S_ISLNK(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
        raise OSError(errno.EOPNOTSUPP, "a symbolic link has no mode", name)
    os.chmod(name, mode & 0o7777, dir_fd=parent_fd)
