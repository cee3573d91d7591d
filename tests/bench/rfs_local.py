"""What the file system costs without replication: the same work on a plain directory and on mounted ones.

Run as root: `.venv/bin/python tests/bench/rfs_local.py [--seconds N] [--rounds N]`. All take turns
in each round, because a shared machine drifts; one line per figure, medians, with the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Work = Callable[[Path, float], float]
SMALL_FILES = 1500


def fio(*options: str) -> Work:
    """A fio job; the figure is operations per second, or MB/s for the sequential one."""

    def run(directory: Path, seconds: float) -> float:
        command = ["fio", "--name=job", "--ioengine=psync", f"--directory={directory}", "--size=64M", *options]
        command += ["--output-format=json", f"--runtime={seconds}", "--randrepeat=1"]
        done = subprocess.run(command, check=True, capture_output=True, timeout=120)
        job = json.loads(done.stdout)["jobs"][0]
        side = "read" if job["read"]["total_ios"] else "write"
        figure: float = job[side]["iops"] if "--bs=1M" not in options else job[side]["bw_bytes"] / 1e6
        return figure

    return run


def small_files(directory: Path, seconds: float) -> float:
    """Files of 4 KiB, created and closed.

    They stay until the end of the run: ext4 gives no inode away that was freed in the last minutes, and looks through
    all of these for every new file, so that files made after a removal would measure that search.
    """
    data = b"x" * 4096
    place = Path(tempfile.mkdtemp(dir=directory, prefix="small-"))
    began = time.perf_counter()
    for number in range(SMALL_FILES):
        with open(place / str(number), "wb", buffering=0) as file:
            file.write(data)
    return SMALL_FILES / (time.perf_counter() - began)


def removals(directory: Path, seconds: float) -> float:
    """The removal of small files."""
    place = directory / "removed"
    place.mkdir()
    for number in range(SMALL_FILES):
        (place / str(number)).touch()
    began = time.perf_counter()
    for number in range(SMALL_FILES):
        os.unlink(place / str(number))
    rate = SMALL_FILES / (time.perf_counter() - began)
    place.rmdir()
    return rate


def stats(directory: Path, seconds: float) -> float:
    """stat(2) of cached files."""
    (directory / "looked-at").touch()
    path = str(directory / "looked-at")
    began = time.perf_counter()
    for _ in range(50_000):
        os.stat(path)
    return 50_000 / (time.perf_counter() - began)


TIMED = ("--time_based=1",)
WORKS: dict[str, Work] = {
    "fsync_4k_per_s": fio("--bs=4k", "--rw=randwrite", "--fsync=1", *TIMED),
    "fdatasync_8k_per_s": fio("--bs=8k", "--rw=write", "--fdatasync=1", *TIMED),
    "osync_4k_per_s": fio("--bs=4k", "--rw=randwrite", "--sync=1", *TIMED),
    "buffered_4k_per_s": fio("--bs=4k", "--rw=write", *TIMED),
    "sequential_1m_mb_s": fio("--bs=1M", "--rw=write", "--end_fsync=1", "--size=256M"),
    "cached_read_4k_per_s": fio("--bs=4k", "--rw=randread", "--pre_read=1", *TIMED),
    "cached_read_1m_mb_s": fio("--bs=1M", "--rw=read", "--pre_read=1", *TIMED),
    "small_files_per_s": small_files,
    "removals_per_s": removals,
    "cached_stats_per_s": stats,
}


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """A directory served by `services.rfs.standalone`."""
    tree, runtime = place / "tree", place / "run"
    tree.mkdir()
    command = [sys.executable, "-m", "services.rfs.standalone", str(tree), str(runtime), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        try:
            yield tree
        finally:
            server.terminate()
            server.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--under", default=None, help="directory on the disk to measure")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.under) as temporary:
        places = [Path(temporary) / name for name in ("plain", "through", "back")]
        for place in places:
            place.mkdir()
        with mounted(places[1]) as through, mounted(places[2], "--write-back") as back:
            for name, work in WORKS.items():
                if chosen.only not in name:
                    continue
                figures: dict[Path, list[float]] = {places[0]: [], through: [], back: []}
                for _ in range(chosen.rounds):
                    for directory, found in figures.items():
                        found.append(work(directory, chosen.seconds))
                local, one, two = (statistics.median(found) for found in figures.values())
                print(
                    f"{name:22} local={local:.0f} write_through={one:.0f} ratio={one / local:.2f} "
                    f"write_back={two:.0f} ratio={two / local:.2f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
