"""Writing that is complete or has not happened: files by rename, directories by exchange."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import EnvironmentFaultError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""linux/fcntl.h, linux/fs.h."""


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn the system's errors into ours, naming the path."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFaultError(f"{error.filename or path}: {error.strerror or error}") from error


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write beside, sync, rename over, sync the directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(root: Path) -> None:
    """Bring every file and directory below `root` to disk."""
    for directory, _names, files in os.walk(root):
        for name in files:
            handle = os.open(Path(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_directory(Path(directory))


def switch_directory(new: Path, place: Path) -> None:
    """Make `new` the directory at `place` in one step; afterwards `new` is what was there before, if anything was."""
    if not place.exists():
        new.rename(place)
    elif not _exchanged(new, place):
        previous = place.with_name(f".{place.name}.previous")
        shutil.rmtree(previous, ignore_errors=True)
        place.rename(previous)
        new.rename(place)
        previous.rename(new)
    sync_directory(place.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """renameat2(2) with RENAME_EXCHANGE; False where the file system cannot do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(one))
