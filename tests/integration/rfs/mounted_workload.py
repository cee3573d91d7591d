"""A workload in a process of its own: whoever forks file system workers must hold no open file of the mount.

`python mounted_workload.py DIRECTORY SEED` works until its standard input ends, then prints one JSON line.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

THREADS = 3


class Workload:
    """Creates, writes, renames and removes files of its own per thread; keeps what went wrong and the longest stall."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stopping = threading.Event()
        self.errors: list[str] = []
        self.operations = 0
        self.stall_s = 0.0

    def run(self, seed: int) -> None:
        dice = random.Random(seed)
        while not self.stopping.is_set():
            start = time.perf_counter()
            try:
                self._step(dice, seed)
            except OSError as error:
                self.errors.append(repr(error))
            self.stall_s = max(self.stall_s, time.perf_counter() - start)
            self.operations += 1

    def _step(self, dice: random.Random, seed: int) -> None:
        path = self.directory / f"w{seed}-{dice.randrange(30)}"
        kind = dice.random()
        if kind < 0.6:
            fd = os.open(path, os.O_RDWR | os.O_CREAT)
            os.pwrite(fd, os.urandom(dice.randrange(1, 20_000)), dice.randrange(0, 200_000))
            os.fsync(fd)
            os.close(fd)
        elif path.exists() and kind < 0.8:
            path.rename(self.directory / f"w{seed}-{dice.randrange(30)}")
        elif path.exists():
            path.unlink()


def main() -> None:
    """Run until standard input ends."""
    seed = int(sys.argv[2])
    work = Workload(Path(sys.argv[1]))
    threads = [threading.Thread(target=work.run, args=(seed + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    work.stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"operations": work.operations, "errors": work.errors[:5], "stall_s": round(work.stall_s, 3)}))


if __name__ == "__main__":
    main()
