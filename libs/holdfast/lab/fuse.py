"""FUSE connections of a lab's nodes: found, and aborted when they keep killed processes from ending.

A request that was taken by a process that cannot answer it any more keeps its sender in the kernel, killed or not, as
long as anybody has the connection's device open. The sender may be the very process that has it open; then only an
abort ends both.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from holdfast.lab import process

_CONTROL: Final = "/sys/fs/fuse/connections"
"""Where the kernel's control file system belongs (linux, filesystems/fuse.rst); not mounted on every machine."""
_ABORT: Final = (
    f"mount -t fusectl none {_CONTROL} 2>/dev/null;"
    f'for number; do echo 1 >"{_CONTROL}/$number/abort"; done 2>/dev/null; true'
)
_TIMEOUT_S: Final = 5.0


def connections(mountinfo: str) -> frozenset[int]:
    """The numbers of the FUSE connections in a mount table (proc_pid_mountinfo(5)). Pure.

    A connection's number is the minor number of its device.
    """
    found: set[int] = set()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("fuse") and not after.startswith("fusectl "):
            major, _, minor = before.split()[2].partition(":")
            if major == "0":
                found.add(int(minor))
    return frozenset(found)


def abort_below(directory: Path) -> frozenset[int]:
    """Abort every connection that is mounted in a node below a directory, and return their numbers."""
    needle = f"upperdir={directory}/"
    tables = (process.mount_table(pid) for pid in process.all_pids())
    found = frozenset(number for table in tables if needle in table for number in connections(table))
    if found:
        _abort(sorted(found))
    return found


def _abort(numbers: Iterable[int]) -> None:
    """In a mount namespace of its own, so that nothing is left mounted."""
    command = ["unshare", "--mount", "--", "sh", "-c", _ABORT, "sh", *map(str, numbers)]
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False)
