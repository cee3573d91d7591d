"""mount(2), umount2(2) and pivot_root(2), which Python does not offer."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from holdfast.lab.errors import LabError

# linux/mount.h
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
MNT_DETACH: Final = 0x2

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", *, flags: int = 0, options: str = "") -> None:
    """Mount; raises LabError."""
    words = [word.encode() or None for word in (source, target, kind, options)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        _fail(f"mounting {source or kind} on {target}")


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show a directory at a second place, with what is mounted below it.

    A bind mount takes its flags from the source; they can be changed only by mounting again (mount(2)).
    """
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        mount("", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def pivot(new_root: str) -> None:
    """Make a mounted directory the root of this mount namespace, and let go of the old root.

    The old root is put over the new one and detached, so that no directory for it is needed (pivot_root(2),
    NOTES).
    """
    os.chdir(new_root)
    if _libc.pivot_root(b".", b".") != 0:
        _fail(f"making {new_root} the root")
    if _libc.umount2(b".", MNT_DETACH) != 0:
        _fail("letting go of the old root")
    os.chdir("/")


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise LabError(f"{what} failed: {os.strerror(number)}")
