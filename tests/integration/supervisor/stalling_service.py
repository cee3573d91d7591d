"""A service that serves a file system; in its first life it comes to wait for itself. Run by `supervised_node.py`.

The directory is `tree` in the run directory. A look-up of the name `slow` stalls the first life, which then tells the
kernel to forget a name: that waits for the directory's lock, which the sender of the look-up holds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.service.notify import Notifier

from services.rfs.disk import Disk
from services.rfs.mountpoint import MountedTree, TreeSettings
from services.rfs.standalone import Unreplicated

BEAT_S = 0.05
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


def main(_arguments: Sequence[str]) -> int:
    """Serve until killed."""
    run_dir = Path(os.environ["HOLDFAST_RUN_DIR"])
    notifier = Notifier()
    device, root = notifier.take("device"), notifier.take("root")
    disk = StallingDisk()
    settings = TreeSettings(
        index=0,
        directory=str(run_dir / "tree"),
        runtime_directory=run_dir / "tree-run",
        is_excluded=lambda path: False,
    )
    tree = MountedTree(settings, Unreplicated(), disk if device is None else Disk())
    tree.prepare(root)
    tree.start(device, writable=True)
    notifier.keep("device", tree.device_fd)
    notifier.keep("root", tree.root_fd)
    threading.Thread(target=_forget_names, args=(tree, disk), daemon=True).start()
    notifier.ready()
    while True:
        notifier.lease()
        time.sleep(BEAT_S)


def _forget_names(tree: MountedTree, disk: StallingDisk) -> None:
    disk.stalled.wait(FOR_EVER_S)
    tree.set_writable(False)
