"""Reaching files below a replicated directory, and never outside it.

Every path is resolved by the kernel with openat2(2) RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS (linux/openat2.h), so no
symbolic link inside the tree leads an operation of the peer out of it. Directories and files that were used lately stay
open; whoever removes or renames a path tells the cache first.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections import OrderedDict
from collections.abc import Callable

from services.rfs.core.paths import is_below

DIRECTORIES_OPEN_MAX = 256
FILES_OPEN_MAX = 256
"""Both limits together stay well below the usual 1024 descriptors of a process."""

_OPENAT2 = 437
"""asm-generic/unistd.h; the same number on every architecture."""
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_UTIME_OMIT = (1 << 30) - 2
"""linux/stat.h."""
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_FDCWD = -100
_SECOND_NS = 1_000_000_000
FILE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    """struct open_how."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_TIMESPECS = struct.Struct("@llll")
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_libc.renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.syncfs.argtypes = (ctypes.c_int,)
_libc.futimens.argtypes = (ctypes.c_int, ctypes.c_char_p)


def _raise_errno(what: bytes) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)


def open_beneath(root_fd: int, path: bytes, flags: int, mode: int = 0) -> int:
    """Open `path` below `root_fd` (the root itself for the empty path); raise OSError, ELOOP or EXDEV for an escape."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS)
    while True:
        fd = int(
            _libc.syscall(
                ctypes.c_long(_OPENAT2),
                ctypes.c_int(root_fd),
                ctypes.c_char_p(path or b"."),
                ctypes.byref(how),
                ctypes.c_size_t(ctypes.sizeof(how)),
            )
        )
        if fd >= 0:
            return fd
        if ctypes.get_errno() not in (errno.EINTR, errno.EAGAIN):
            _raise_errno(path)


def set_times(dir_fd: int, name: bytes, mtime_ns: int, atime_ns: int = -1) -> None:
    """utimensat(2) without following a link; -1 leaves the access time as it is."""
    if _libc.utimensat(dir_fd, name, _times(mtime_ns, atime_ns), _AT_SYMLINK_NOFOLLOW) != 0:
        _raise_errno(name)


def set_descriptor_times(fd: int, mtime_ns: int, atime_ns: int = -1) -> None:
    """Set the modification time of an open file or directory (futimens(3)); -1 leaves the access time as it is."""
    if _libc.futimens(fd, _times(mtime_ns, atime_ns)) != 0:
        _raise_errno(b"")


def _times(mtime_ns: int, atime_ns: int) -> bytes:
    """Two `struct timespec`: access and modification time."""
    atime = (0, _UTIME_OMIT) if atime_ns < 0 else divmod(atime_ns, _SECOND_NS)
    return _TIMESPECS.pack(*atime, *divmod(mtime_ns, _SECOND_NS))


def rename(source_fd: int, source: bytes, target_fd: int, target: bytes, flags: int) -> None:
    """renameat2(2)."""
    if _libc.renameat2(source_fd, source, target_fd, target, flags) != 0:
        _raise_errno(source)


def allocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2)."""
    if _libc.fallocate(fd, mode, offset, length) != 0:
        _raise_errno(b"")


def sync_file_system(root_fd: int) -> None:
    """syncfs(2) of the file system that holds `root_fd` (which may be an O_PATH descriptor)."""
    fd = os.open(b".", DIRECTORY_FLAGS, dir_fd=root_fd)
    try:
        if _libc.syncfs(fd) != 0:
            _raise_errno(b"")
    finally:
        os.close(fd)


def split(path: bytes) -> tuple[bytes, bytes]:
    """Parent and name of a path that is not the root."""
    cut = path.rfind(b"/")
    return (path[:cut], path[cut + 1 :]) if cut >= 0 else (b"", path)


def named(parent_fd: int, name: bytes) -> bytes:
    """A path text for calls that know no directory descriptor (extended attributes); links are not followed by them."""
    return b"/proc/self/fd/%d/%s" % (parent_fd, name) if name else b"/proc/self/fd/%d" % parent_fd


class Beneath:
    """One tree with its recently used directories and files. For one thread."""

    def __init__(self, root_fd: int, *, closing: Callable[[int], None] = lambda fd: None) -> None:
        """`closing` is called with a file's descriptor just before the cache closes it."""
        self._root_fd = root_fd
        self._closing = closing
        self._directories: OrderedDict[bytes, int] = OrderedDict()
        self._files: OrderedDict[bytes, int] = OrderedDict()

    def directory(self, path: bytes) -> int:
        """A readable descriptor of a directory, valid until the next call on this object."""
        fd = self._directories.get(path)
        if fd is not None:
            self._directories.move_to_end(path)
            return fd
        fd = open_beneath(self._root_fd, path, DIRECTORY_FLAGS)
        self._directories[path] = fd
        if len(self._directories) > DIRECTORIES_OPEN_MAX:
            _, old = self._directories.popitem(last=False)
            os.close(old)
        return fd

    def place(self, path: bytes) -> tuple[int, bytes]:
        """Descriptor of the parent directory, and the name in it (`.` for the root, whose parent is itself)."""
        if not path:
            return self.directory(b""), b"."
        parent, name = split(path)
        return self.directory(parent), name

    def opened(self, path: bytes) -> int | None:
        """The descriptor of a regular file that is open already, valid until the next call on this object."""
        return self._files.get(path)

    def file(self, path: bytes) -> int:
        """A descriptor of a regular file, open for reading and writing, valid until the next call on this object."""
        fd = self._files.get(path)
        if fd is not None:
            self._files.move_to_end(path)
            return fd
        parent_fd, name = self.place(path)
        if not stat.S_ISREG(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        return self.keep(path, os.open(name, FILE_FLAGS, dir_fd=parent_fd))

    def keep(self, path: bytes, fd: int) -> int:
        """Put an open file into the cache, which closes it in its time."""
        self._drop_file(path)
        self._files[path] = fd
        if len(self._files) > FILES_OPEN_MAX:
            self._drop_file(next(iter(self._files)))
        return fd

    def forget_file(self, path: bytes) -> None:
        """To be called before `path` is unlinked or replaced, when it is no directory."""
        self._drop_file(path)

    def forget(self, path: bytes) -> None:
        """To be called before `path` and all below it is removed, renamed or replaced."""
        self._drop_file(path)
        if path in self._directories or self._holds_below(path):
            for old in [key for key in self._directories if is_below(key, path)]:
                os.close(self._directories.pop(old))
            for old in [key for key in self._files if is_below(key, path)]:
                self._drop_file(old)

    def close(self) -> None:
        """Close everything that is cached, not the root."""
        for path in list(self._files):
            self._drop_file(path)
        while self._directories:
            os.close(self._directories.popitem()[1])

    def _holds_below(self, path: bytes) -> bool:
        prefix = path + b"/"
        return any(key.startswith(prefix) for keys in (self._directories, self._files) for key in keys)

    def _drop_file(self, path: bytes) -> None:
        fd = self._files.pop(path, None)
        if fd is not None:
            self._closing(fd)
            os.close(fd)
