"""Keeping what a diverged copy held before the resync overwrites it."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import time
from pathlib import Path

from holdfast.errors import StorageError

RESERVE_BYTES = 256 << 20
"""Space that a quarantine leaves free on its file system, so that keeping old data never stops new work."""
_FICLONE = 0x4004_9409
"""linux/fs.h: _IOW(0x94, 9, int)."""
_COPY_BYTES = 8 << 20
_libc = ctypes.CDLL(None, use_errno=True)


class QuarantineFullError(StorageError):
    """The diverged files do not fit; nothing of them is overwritten."""


class Quarantine:
    """A directory with the old files below `tree-N/` and their list in `list.jsonl`, one JSON object a line."""

    def __init__(self, directory: Path) -> None:
        """`directory` belongs to one resync; opening it again after a break goes on where it stopped."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._list = directory / "list.jsonl"
        self._kept: set[tuple[int, str]] = set()
        if self._list.exists():
            for line in self._list.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # The last line of a run that was killed; its file is copied again.
                self._kept.add((int(row["tree"]), str(row["path"])))

    @property
    def files(self) -> int:
        return len(self._kept)

    def keep(self, tree: int, path: bytes, parent_fd: int, name: bytes) -> None:
        """Copy what is at `name` (with everything below it), once; raise QuarantineFullError when there is no room."""
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
            try:
                for below in os.listdir(fd):
                    below_name = os.fsencode(below)
                    self.keep(tree, path + b"/" + below_name if path else below_name, fd, below_name)
            finally:
                os.close(fd)
            return
        key = (tree, os.fsdecode(path))
        if key in self._kept:
            return
        target = self._directory / f"tree-{tree}" / os.fsdecode(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if stat.S_ISREG(found.st_mode):
                self._copy(parent_fd, name, target, found)
            elif stat.S_ISLNK(found.st_mode):
                target.unlink(missing_ok=True)
                target.symlink_to(os.fsdecode(os.readlink(name, dir_fd=parent_fd)))
            self._note(key, found)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full(found.st_size) from error
            raise StorageError(f"{target}: the diverged file cannot be kept: {error.strerror}") from error

    def _copy(self, parent_fd: int, name: bytes, target: Path, found: os.stat_result) -> None:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if _libc.ioctl(copy, ctypes.c_ulong(_FICLONE), source) != 0:
                space = os.statvfs(self._directory)
                if space.f_bavail * space.f_frsize - found.st_blocks * 512 < RESERVE_BYTES:
                    raise self._full(found.st_size)
                copy_sparsely(source, copy, found.st_size)
            os.fchown(copy, found.st_uid, found.st_gid)
            os.fchmod(copy, stat.S_IMODE(found.st_mode))
            os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.fsync(copy)
        finally:
            os.close(source)
            os.close(copy)

    def _note(self, key: tuple[int, str], found: os.stat_result) -> None:
        row = {"tree": key[0], "path": key[1], "bytes": found.st_size, "mtime_ns": found.st_mtime_ns}
        row |= {"kept_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        with self._list.open("a") as out:
            out.write(json.dumps(row) + "\n")
            out.flush()
            os.fsync(out.fileno())
        self._kept.add(key)

    def _full(self, size: int) -> QuarantineFullError:
        return QuarantineFullError(
            f"quarantine {self._directory}: no room to keep a diverged file of {size} bytes, so nothing is overwritten",
            hint=f"free space there ({RESERVE_BYTES >> 20} MiB stay in reserve) or move the files away yourself",
        )


def copy_sparsely(source: int, target: int, size: int) -> None:
    """Copy a file's bytes, leaving holes where the source has them."""
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(source, min(_COPY_BYTES, end - at), at)
            if not data:
                return
            done = 0
            while done < len(data):
                done += os.pwrite(target, data[done:], at + done)
            at += len(data)
