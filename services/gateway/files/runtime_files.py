"""Finds what running programs leave in directories: sockets and pid files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

ENTRIES_MAX = 20_000
"""Looked at in one directory tree: some tenths of a second; such files lie near its top."""
DEPTH_MAX = 4
FOUND_MAX = 50
PID_ENDING = ".pid"
MOUNTS = Path("/proc/self/mountinfo")


def find_runtime_files(root: str) -> tuple[str, ...]:
    """Paths below `root`, relative to it; none when it is a mounted file system of ours, which is in use.

    Unreadable places count as empty.
    """
    if root in _mount_points():
        return ()
    found: list[str] = []
    for path in _walk(root):
        found.append(os.path.relpath(path, root))
        if len(found) >= FOUND_MAX:
            break
    return tuple(sorted(found))


def _walk(root: str) -> Iterator[str]:
    pending, seen = [(root, 0)], 0
    while pending:
        folder, depth = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > ENTRIES_MAX:
                return
            if entry.is_dir(follow_symlinks=False):
                if depth < DEPTH_MAX:
                    pending.append((entry.path, depth + 1))
            elif _is_runtime_file(entry):
                yield entry.path


def _is_runtime_file(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        return False
    if entry.is_file(follow_symlinks=False):
        return entry.name.endswith(PID_ENDING)
    try:
        return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return False


def _mount_points() -> frozenset[str]:
    """Read from the kernel's list, which asks no file system: one that hangs does not hold us (proc(5))."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.split(" ")[4].replace("\\040", " ") for line in lines if line.count(" ") > 4)
