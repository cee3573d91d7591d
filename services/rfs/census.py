"""Taking the census of directories: what all their names show, in one digest each."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from services.rfs import beneath, libc, rows
from services.rfs.core.census import NAME_SHOWN, Census, digest_of_names
from services.rfs.core.rows import digest_of
from services.rfs.rows import Excluded

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@contextmanager
def own_directory() -> Iterator[None]:
    """Let the calling thread change its working directory without any other noticing; put it back afterwards.

    Extended attributes have no call that takes a directory's descriptor, and a path through /proc costs three times
    what a name in the working directory does.
    """
    libc.own_umask()
    back = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
    finally:
        os.fchdir(back)
        os.close(back)


def take(root_fd: int, directory: bytes, excluded: Excluded) -> Census | None:
    """The census of a directory, None when it is none (any more). Only within `own_directory`."""
    if not _enter(root_fd, directory):
        return None
    shown: list[bytes] = []
    directories: list[bytes] = []
    prefix = directory + b"/" if directory else b""
    for name in sorted(os.listdir(b".")):
        if excluded(prefix + name):
            continue
        try:
            found = os.lstat(name)
            extra = _extra(name, found)
        except FileNotFoundError:
            continue
        mode = found.st_mode
        size = device = 0
        if stat.S_ISDIR(mode):
            directories.append(name)
        elif found.st_nlink > 1:
            told = rows.rows_in(root_fd, directory, excluded)
            return None if told is None else Census(directory=directory, rows=told)
        elif stat.S_ISREG(mode):
            size = found.st_size
        else:
            device = found.st_rdev
        shown.append(
            NAME_SHOWN.pack(len(name), mode, found.st_uid, found.st_gid, size, found.st_mtime_ns, device, extra)
        )
        shown.append(name)
    return Census(
        directory=directory, digest=digest_of_names(shown), names=len(shown) // 2, directories=tuple(directories)
    )


def walk(root_fd: int, top: bytes, excluded: Excluded) -> Iterator[Census]:
    """Every directory at and below `top`, parents first, in the order of `rows.walk`. Only within `own_directory`."""
    stack = [top]
    while stack:
        directory = stack.pop()
        census = take(root_fd, directory, excluded)
        if census is None:
            continue
        yield census
        stack += [rows.join(directory, name) for name in reversed(census.below)]


def _enter(root_fd: int, directory: bytes) -> bool:
    """Make a directory below a tree the thread's working directory; False when it is none."""
    try:
        fd = beneath.open_beneath(root_fd, directory, beneath.DIRECTORY_FLAGS)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise
    try:
        os.fchdir(fd)
    finally:
        os.close(fd)
    return True


def _extra(name: bytes, found: os.stat_result) -> int:
    """The digest of a link's target and the extended attributes, 0 when there are none."""
    try:
        has_attributes = os.listxattr(name, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        has_attributes = []
    target = os.readlink(name) if stat.S_ISLNK(found.st_mode) else b""
    if not target and not has_attributes:
        return 0
    return digest_of(target, rows.attributes_at(name))
