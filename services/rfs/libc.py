"""System calls that Python 3.11 does not offer, through the C library.

Every function raises OSError with the errno of the call. The library is opened so that the interpreter lock is
released while a call runs.
"""

from __future__ import annotations

import ctypes
import os

RENAME_NOREPLACE = 1  # linux/fs.h
RENAME_EXCHANGE = 2  # linux/fs.h
RENAME_WHITEOUT = 4  # linux/fs.h
SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
CLONE_FS = 0x00000200  # linux/sched.h
SYS_GETDENTS64 = {"x86_64": 217, "aarch64": 61}  # asm/unistd.h of each architecture

_libc = ctypes.CDLL(None, use_errno=True)
_getdents64 = SYS_GETDENTS64.get(os.uname().machine, 61)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.renameat2.argtypes = [
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
]


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(source: bytes, source_fd: int, target: bytes, target_fd: int, flags: int) -> None:
    """renameat2(2)."""
    _check(_libc.renameat2(source_fd, source, target_fd, target, flags))


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2), with its mode flags and without the emulation of posix_fallocate(3)."""
    _check(_libc.fallocate(fd, mode, offset, length))


def syncfs(fd: int) -> None:
    """syncfs(2); the descriptor must not be O_PATH."""
    _check(_libc.syncfs(fd))


def start_write_out(fd: int, offset: int, length: int) -> None:
    """Have the kernel begin to write a part of a file to the disk, without waiting (sync_file_range(2)).

    Promises nothing and reports nothing: what goes wrong is kept by the kernel for the next fsync(2) of the file.
    """
    _libc.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE)


def getdents64(fd: int, buffer: bytearray) -> int:
    """Fill the buffer with `struct linux_dirent64` entries and return their length, 0 at the end."""
    array = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    return _check(_libc.syscall(ctypes.c_long(_getdents64), fd, array, ctypes.c_size_t(len(buffer))))


def own_umask() -> None:
    """Give the calling thread a umask and working directory of its own (unshare(2) with CLONE_FS)."""
    _check(_libc.unshare(CLONE_FS))


def mount(source: bytes, target: bytes, kind: bytes, flags: int, options: bytes) -> None:
    """mount(2)."""
    _check(_libc.mount(source, target, kind, flags, options))


def umount2(target: bytes, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(target, flags))
