"""What is left of a killed service: threads that the kernel cannot end because they wait for the service itself.

A service that serves a file system (FUSE) now and then waits for that file system: it tells the kernel to drop what it
has cached, and the kernel waits for a lock that an application holds until its request is answered. A SIGKILL in that
moment ends the threads that would have answered. The waiting thread cannot be killed, so the process does not end, its
supervisor is not told of its end, and the descriptor of the device stays open: everybody waits for ever.
The next process on the kept descriptor has the kernel send the requests again and answers them, and the old one ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from enum import Enum, auto
from pathlib import Path

_PROC = Path("/proc")
_FILE_SYSTEM_FRAME = b"] fuse_"
"""In /proc/<pid>/task/<tid>/stack, a function of the kernel's FUSE (fs/fuse)."""
_KILLED = 1 << (signal.SIGKILL - 1)
"""Its bit in a set of pending signals."""
_MNT_FORCE = 1
"""linux/fs.h, as the next two: for FUSE it aborts the connection."""
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def waits_for_its_successor(pid: int) -> bool:
    """Whether this child was killed and its last threads wait in the kernel for a file system of its own.

    Those threads do nothing any more but end, so that a successor may be started beside them. Threads that are in a
    call to a disk are not of that kind: they must have ended before the successor does the same call again.
    """
    threads = _PROC / str(pid) / "task"
    try:
        states = [_state(threads / name) for name in os.listdir(threads)]
    except OSError:
        return False
    return _Thread.STUCK in states and _Thread.ALIVE not in states


def abort_connections(fds: Iterable[int]) -> None:
    """End the file systems of these FUSE devices and take their mounts away; who waits for them gets an error.

    Which connection a descriptor belongs to is told by kernels that can be asked (`fuse_connection` in
    /proc/self/fdinfo); with another one nothing is done.
    """
    devices = {f"0:{number}".encode() for fd in fds if (number := _connection(fd)) is not None}
    for line in _read(_PROC / "self/mountinfo").splitlines():
        fields = line.split()
        if fields[2] in devices:
            path = fields[4].decode("unicode_escape").encode("latin-1")
            _libc.umount2(path, _MNT_FORCE | _MNT_DETACH | _UMOUNT_NOFOLLOW)


def _connection(fd: int) -> int | None:
    for line in _read(_PROC / f"self/fdinfo/{fd}").splitlines():
        name, _, value = line.partition(b":")
        if name == b"fuse_connection" and value.strip().isdigit():
            return int(value)
    return None


class _Thread(Enum):
    ALIVE = auto()
    STUCK = auto()
    """Killed, and held in the kernel by a file system."""
    GONE = auto()


def _state(thread: Path) -> _Thread:
    fields = dict(line.split(b":", 1) for line in _read(thread / "status").splitlines() if b":" in line)
    letter = fields.get(b"State", b"X").strip()[:1]
    if letter in (b"Z", b"X"):
        return _Thread.GONE
    is_killed = int(fields.get(b"SigPnd", b"0"), 16) & _KILLED
    if letter == b"D" and is_killed and _FILE_SYSTEM_FRAME in _read(thread / "stack"):
        return _Thread.STUCK
    return _Thread.ALIVE


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
