"""A file system whose look-ups of the name `slow` take for ever: `python stalling_worker.py ROLE TREE RUNTIME [FDS]`.

It says `ready`, then `stalled` when such a look-up has come; then it does what its role does to the kernel's cache and
says `done`. With two descriptors (device, root) it goes on with an earlier worker's mount, and nothing stalls.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from services.rfs.disk import Disk
from services.rfs.mountpoint import MountedTree, TreeSettings
from services.rfs.standalone import Unreplicated

FOR_EVER_S = 600.0


class StallingDisk(Disk):
    """Never answers for `slow`."""

    def __init__(self) -> None:
        self.stalled = threading.Event()

    def stat(self, step: str, name: bytes, dir_fd: int | None = None) -> os.stat_result:
        if name == b"slow":
            self.stalled.set()
            threading.Event().wait(FOR_EVER_S)
        return super().stat(step, name, dir_fd)


def say(word: str) -> None:
    print(word, flush=True)


def main() -> None:
    """Serve until killed."""
    role, directory, runtime, *fds = sys.argv[1:]
    disk = StallingDisk()
    settings = TreeSettings(
        index=0, directory=directory, runtime_directory=Path(runtime), is_excluded=lambda path: False
    )
    tree = MountedTree(settings, Unreplicated(), Disk() if fds else disk)
    device, root = (int(fd) for fd in fds) if fds else (None, None)
    tree.prepare(root)
    tree.start(device, writable=role == "primary")
    say("ready")
    disk.stalled.wait(FOR_EVER_S)
    say("stalled")
    if role == "primary":
        tree.set_writable(False)
    else:
        tree.invalidate(b"other")
    say("done")
    threading.Event().wait(FOR_EVER_S)


if __name__ == "__main__":
    main()
