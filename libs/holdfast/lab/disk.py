"""The disk of a node while it runs: filled and freed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from holdfast.lab.errors import LabUsageError
from holdfast.lab.process import ProcessMark

_FILLER: Final = "var/lib/.holdfast-lab-filler"
_BLOCK_BYTES: Final = 4096


def fill(init: ProcessMark) -> int:
    """Take all free blocks of the node's disk, and return how many bytes that was.

    The blocks are reserved, not written, so that the machine's own disk is not filled with it (fallocate(2)). What
    was unlinked a moment ago becomes free only with the file system's next commit, which is therefore forced first.
    Space that the node frees later is its own again: call once more to take that too.
    """
    with _filler(init).open("ab") as file:
        os.fsync(file.fileno())
        step = _free_bytes(file.fileno())
        while step >= _BLOCK_BYTES:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
            else:
                step = min(step, _free_bytes(file.fileno()))
        return os.fstat(file.fileno()).st_size


def free(init: ProcessMark) -> None:
    """Give back what `fill` took; raises LabUsageError when it took nothing."""
    try:
        _filler(init).unlink()
    except FileNotFoundError:
        raise LabUsageError("the disk of this node was not filled") from None


def _filler(init: ProcessMark) -> Path:
    """Reached through the node's root, which the machine sees below the node's first process."""
    return Path(f"/proc/{init.pid}/root") / _FILLER


def _free_bytes(fd: int) -> int:
    status = os.fstatvfs(fd)
    return status.f_bavail * status.f_frsize
