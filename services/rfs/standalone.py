"""A mounted tree without replication: `python -m services.rfs.standalone DIRECTORY RUNTIME_DIRECTORY`.

For measuring what the file system alone costs, and for tests of it. Runs until the directory is unmounted or
SIGTERM. `--device-fd` and `--root-fd` continue on descriptors that a parent process kept.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from services.rfs.core.operations import Operation
from services.rfs.mountpoint import MountedTree, TreeSettings


class Unreplicated:
    """The `Replication` port with nothing behind it."""

    def __init__(self) -> None:
        self.order = threading.RLock()
        self.is_writable = True
        self._sequence = 0

    @property
    def position(self) -> int:
        return self._sequence

    def record(self, operation: Operation) -> int:
        self._sequence += 1
        return self._sequence

    def before(self, paths: tuple[tuple[int, bytes], ...]) -> None:
        return None

    def before_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        return None

    def before_attributes(self, tree: int, path: bytes) -> None:
        return None

    def wait(self, sequence: int) -> None:
        return None

    def may_write(self) -> bool:
        return self.is_writable


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("runtime_directory", type=Path)
    parser.add_argument("--device-fd", type=int)
    parser.add_argument("--root-fd", type=int)
    parser.add_argument("--write-back", action="store_true")
    parser.add_argument("--counters", action="store_true", help="print what was served, at the end")
    chosen = parser.parse_args(arguments)
    tree = MountedTree(
        TreeSettings(
            index=0,
            directory=chosen.directory,
            runtime_directory=chosen.runtime_directory,
            is_excluded=lambda path: False,
            write_back=chosen.write_back,
        ),
        Unreplicated(),
    )
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    tree.prepare(chosen.root_fd)
    tree.start(chosen.device_fd, writable=True)
    gc.freeze()
    print("ready", flush=True)  # noqa: T201 - the parent waits for this line
    while not ended.wait(0.2):
        if tree.has_ended:
            break
    for each in tree.operations() if chosen.counters else ():
        print(f"{each.name:16} {each.count:8} {each.latency_ns_total / each.count / 1000:9.1f} us")  # noqa: T201
    tree.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
