"""Reading what names are from the disk, as rows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from hashlib import blake2b

from services.rfs import beneath
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.rows import DIGEST_BYTES, Row, digest_of

Excluded = Callable[[bytes], bool]


def join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def attributes_of(parent_fd: int, name: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """All extended attributes, sorted by name; empty where the file system has none."""
    return attributes_at(beneath.named(parent_fd, name))


def attributes_at(place: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """As `attributes_of`, for a path."""
    try:
        names = os.listxattr(place, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return ()
        raise
    return tuple(sorted((os.fsencode(one), os.getxattr(place, one, follow_symlinks=False)) for one in names))


def row_of(parent_fd: int, name: bytes, shown: bytes | None = None) -> Row | None:
    """The row of a name in an open directory, None when it is not there (any more)."""
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        attributes = attributes_of(parent_fd, name)
        target = os.readlink(name, dir_fd=parent_fd) if stat.S_ISLNK(found.st_mode) else b""
    except FileNotFoundError:
        return None
    return Row(
        name if shown is None else shown,
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_size if stat.S_ISREG(found.st_mode) else 0,
        found.st_mtime_ns,
        found.st_rdev,
        found.st_nlink,
        found.st_ino,
        digest_of(target, attributes) if target or attributes else 0,
    )


def row_at(root_fd: int, path: bytes) -> Row | None:
    """The row of a path below a tree, None when nothing is there."""
    if not path:
        return row_of(root_fd, b".", b"")
    parent, name = beneath.split(path)
    try:
        parent_fd = beneath.open_beneath(root_fd, parent, beneath.DIRECTORY_FLAGS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return row_of(parent_fd, name)
    finally:
        os.close(parent_fd)


def rows_in(root_fd: int, directory: bytes, excluded: Excluded) -> list[Row] | None:
    """The rows of a directory's names, sorted; None when it is no directory (any more)."""
    try:
        fd = beneath.open_beneath(root_fd, directory, beneath.DIRECTORY_FLAGS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        names = sorted(os.fsencode(name) for name in os.listdir(fd))
        found = (row_of(fd, name) for name in names if not excluded(join(directory, name)))
        return [row for row in found if row is not None]
    finally:
        os.close(fd)


def walk(root_fd: int, top: bytes, excluded: Excluded) -> Iterator[tuple[bytes, list[Row]]]:
    """Every directory at and below `top` with its rows, parents first, in an order that depends on names only."""
    stack = [top]
    while stack:
        directory = stack.pop()
        rows = rows_in(root_fd, directory, excluded)
        if rows is None:
            continue
        yield directory, rows
        stack += [join(directory, row.name) for row in reversed(rows) if row.is_directory]


def hash_zone(fd: int, zone: int) -> bytes:
    """The digest of one zone of an open file, padded with nothing; empty beyond the end of the file."""
    data = os.pread(fd, ZONE_BYTES, zone * ZONE_BYTES)
    if not data:
        return b""
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def open_file(root_fd: int, path: bytes) -> int | None:
    """A descriptor for reading a regular file below a tree, None when there is none at `path`."""
    try:
        fd = beneath.open_beneath(root_fd, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd
