"""What a resync costs: as much as was changed when the journals survived, whatever the size of the tree.

Run as root: `.venv/bin/python -m tests.bench.resync [--files N] [--small N] [--megabytes N] [--rounds N]`.
Two nodes on this machine. In each round the same is changed in a large and a small tree while the secondary is away,
and the time until it is in step again is taken. Then the journals are made to look like those of a rebooted machine,
and the whole tree is compared by metadata. One line a figure, with what is wanted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from services.rfs.core import noting
from tests.bench.rfs_pair import Node, pair

FILES_PER_DIRECTORY = 200
CHANGED_FILE_BYTES = 1 << 20
WANTED_RATIO = 1.3
WANTED_FILES_PER_S = 20_000
PATIENCE_S = 900.0


def populate(top: Path, files: int) -> None:
    """Lay out small files, before anything is mounted."""
    for number in range(files):
        directory = top / f"d{number // FILES_PER_DIRECTORY}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir()
        (directory / f"f{number}").write_bytes(b"%d" % number)


class Pair:
    """Two nodes with equal trees of so many files, in step."""

    def __init__(self, base: Path, files: int, stack: ExitStack) -> None:
        self.files = files
        self._epoch = 1
        for name in ("one", "two"):
            (base / f"{name}-data").mkdir(parents=True)
        populate(base / "one-data", files)
        shutil.copytree(base / "one-data", base / "two-data", dirs_exist_ok=True)
        for place, names, found in os.walk(base / "one-data"):
            for name in (*names, *found, "."):
                status = os.stat(os.path.join(place, name))
                os.utime(os.path.join(str(place).replace("one-data", "two-data", 1), name), ns=(0, status.st_mtime_ns))
        for name in ("one", "two"):
            # As if both had been in step: making so many files equal for the first time is not what is measured.
            journal = base / f"{name}-state/changes"
            journal.mkdir(parents=True)
            state = {"directories": [str(base / f"{name}-data")], "last_session": "before"}
            (journal / "copy.json").write_text(json.dumps(state))
        self.one, self.two = stack.enter_context(pair(base))

    def resync(self, megabytes: int, *, rebooted: bool) -> float:
        """Change so much while the secondary is away; return the seconds from its return until it is equal."""
        self.two.order("off")
        self.two.until(lambda report: not report.get("mounted"), "off")
        self._epoch += 1
        self.one.order("primary", stance="alone", epoch=self._epoch)
        self.one.until(lambda report: not report.get("broken_session") and not report.get("connected"), "alone")
        for number in range(megabytes):
            (self.one.directory / f"changed-{number}").write_bytes(os.urandom(CHANGED_FILE_BYTES))
        os.sync()
        if rebooted:
            look_rebooted(self.two)
        else:
            forget_stop(self.two)
        return self._rejoin()

    @property
    def compared(self) -> str:
        return str(self.one.report["progress"]["kind"])

    def _rejoin(self) -> float:
        began = time.monotonic()
        self.two.order("secondary")
        self.one.until(lambda report: report.get("proposed_session"), "equal", PATIENCE_S)
        took = time.monotonic() - began
        session = str(self.one.report["proposed_session"])
        self.one.order("primary", stance="in_step", session=session, epoch=self._epoch)
        self.two.until(lambda report: report.get("in_step_session") == session, "in step")
        return took


def forget_stop(node: Node) -> None:
    """As if the node had crashed: no stop is noted, so that no walk looks for what was changed meanwhile."""
    state = node.state / "changes/copy.json"
    text = state.read_text().replace('"stopped_at_ns"', '"was_stopped_at_ns"')
    state.write_text(text)


def look_rebooted(node: Node) -> None:
    """As if the node had been reset: its notes were begun in another boot."""
    forget_stop(node)
    for segment in (node.state / "changes").glob("segment-*"):
        data = segment.read_bytes()
        segment.write_bytes(
            noting.SEGMENT_HEADER.pack(noting.MAGIC, os.urandom(16)) + data[noting.SEGMENT_HEADER.size :]
        )


def show(what: str, values: list[float], unit: str, verdict: str) -> None:
    spread = f"min {min(values):.2f}, max {max(values):.2f}, n {len(values)}"
    print(f"{what:58} {statistics.median(values):10.2f} {unit:8} {spread}; {verdict}", flush=True)


def main() -> int:
    """Run and print; return 1 when something wanted was not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--small", type=int, default=2_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    took: dict[int, list[float]] = {options.small: [], options.files: []}
    rates: list[float] = []
    with tempfile.TemporaryDirectory(prefix="hfresync") as folder, ExitStack() as stack:
        pairs = [Pair(Path(folder) / str(files), files, stack) for files in took]
        for _ in range(options.rounds):
            for each in pairs:
                took[each.files].append(each.resync(options.megabytes, rebooted=False))
                assert each.compared == "difference", each.compared
        for _ in range(options.rounds):
            seconds = pairs[-1].resync(0, rebooted=True)
            assert pairs[-1].compared == "compare", pairs[-1].compared
            rates.append(options.files / seconds)
    for files, values in took.items():
        show(f"resync of {options.megabytes} MiB in {files} files, journal survived", values, "s", "")
    ratio = statistics.median(took[options.files]) / statistics.median(took[options.small])
    show("ratio of the large tree to the small one", [ratio], "", f"wanted: at most {WANTED_RATIO}")
    show("metadata compared, journal lost", rates, "files/s", f"wanted: at least {WANTED_FILES_PER_S}")
    return int(ratio > WANTED_RATIO or statistics.median(rates) < WANTED_FILES_PER_S)


if __name__ == "__main__":
    sys.exit(main())
