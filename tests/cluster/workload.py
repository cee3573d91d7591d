"""Runs the file workload inside a node of the lab and keeps its record outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.lab.place import kill_group

from tests.cluster.file_workload import Expectation, expect, judge
from tests.cluster.mirror import DATA, Mirror
from tests.tidy.rules import ROOT

FOLDER = f"{DATA}/files"


class Workload:
    """One run of the workload; its lines are in a file of this machine, so a node's death does not lose them."""

    def __init__(self, record: Path) -> None:
        self._record = record

    @property
    def acknowledged(self) -> int:
        """How many operations have returned so far."""
        return self._record.read_text().count('"done"')

    def expectation(self) -> Expectation:
        return expect(self._record.read_text().splitlines())

    def losses(self, cluster: Mirror, node: str) -> list[str]:
        """What was acknowledged and is not on this node, in words."""
        return judge(self.expectation(), cluster.files(node, FOLDER))


@contextmanager
def file_workload(cluster: Mirror, node: str, record: Path, *, seed: int) -> Iterator[Workload]:
    """Run the workload on a node until the context ends (or the node dies)."""
    with record.open("w") as lines:
        process = cluster.node(node).popen(
            ["env", f"PYTHONPATH={ROOT}", "python", "-m", "tests.cluster.file_workload", FOLDER, str(seed)],
            stdout=lines,
            stderr=lines,
        )
    try:
        yield Workload(record)
    finally:
        kill_group(process)


def wait_progress(cluster: Mirror, workload: Workload, operations: int) -> None:
    """Wait until so many more operations have been acknowledged."""
    target = workload.acknowledged + operations
    cluster.wait_for(f"{operations} more operations acknowledged", lambda: workload.acknowledged >= target)
