"""Two nodes with real mounts: what applications do reaches the other copy, also when workers are killed under them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.rfs_pair import Node, pair

pytestmark = [pytest.mark.root, pytest.mark.slow]

WORKLOAD = Path(__file__).with_name("mounted_workload.py")
PATIENCE_S = 20.0


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    with pair(tmp_path) as two:
        yield two


def is_in_step(report: dict[str, object]) -> bool:
    return bool(report.get("connected") and report.get("in_step_session") and not report.get("broken_session"))


def start_workload(node: Node, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKLOAD), str(node.directory), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_files_made_through_the_mount_are_on_the_other_node(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    top = one.directory
    (top / "d").mkdir()
    (top / "d/a").write_bytes(b"hello")
    os.link(top / "d/a", top / "b")
    (top / "d/a").rename(top / "c")
    os.truncate(top / "c", 3)
    os.setxattr(top / "c", "user.x", b"y")
    assert (two.directory / "b").read_bytes() == b"hel"
    result = one.verify()
    assert result["equal"], result
    with pytest.raises(OSError, match="Read-only"):
        (two.directory / "no").write_bytes(b"")


def test_a_file_that_is_open_and_written_is_no_difference(nodes: tuple[Node, Node]) -> None:
    """A database writes for minutes before it synchronises: its file's time is settled before it is compared."""
    one, two = nodes
    with (one.directory / "data").open("wb", buffering=0) as file:
        file.write(b"first")
        os.fsync(file.fileno())
        time.sleep(0.02)  # more than a tick of the file system's clock, so that the second write has another time
        file.write(b"second")
        result = one.verify()
        assert result["equal"], result
        assert (one.directory / "data").stat().st_mtime_ns == (two.directory / "data").stat().st_mtime_ns


def test_workers_killed_under_load_give_no_error_and_equal_copies(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    dice = random.Random(20)
    work = start_workload(one, 20)
    try:
        for _ in range(6):
            threading.Event().wait(dice.uniform(0.1, 0.6))
            dice.choice(nodes).kill()
            one.until(is_in_step, "in step again", PATIENCE_S)
        said, _ = work.communicate(timeout=PATIENCE_S)
    finally:
        work.kill()
        work.communicate()
    result = json.loads(said)
    assert result["errors"] == []
    assert result["operations"] > 50
    compared = one.verify()
    assert compared["equal"], compared


def test_a_handover_loses_nothing_and_the_old_primary_joins_by_difference(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    (one.directory / "a").write_bytes(b"before")
    session = str(one.report["in_step_session"])
    one.order("primary", stance="drain", session=session)
    one.until(lambda report: report.get("drained_session") == session, "drained")
    with pytest.raises(OSError, match="Read-only"):
        (one.directory / "late").write_bytes(b"")
    two.order("primary", stance="drain", session=session)
    two.until(lambda report: report.get("applied_all"), "applied all")
    one.order("secondary", epoch=1, fence_epoch=1)
    one.until(lambda report: report.get("mode") == "secondary", "secondary")
    two.order("primary", epoch=2, fence_epoch=2)
    two.until(lambda report: report.get("writable"), "writable")
    (two.directory / "b").write_bytes(b"after")
    bring_in_step_at(two, one, 2)
    assert (one.directory / "a").read_bytes() == b"before"
    assert (one.directory / "b").read_bytes() == b"after"
    assert two.report["progress"]["kind"] == "difference"
    compared = two.verify()
    assert compared["equal"], compared


def bring_in_step_at(primary: Node, secondary: Node, epoch: int) -> None:
    primary.until(lambda report: report.get("proposed_session"), "proposal")
    session = str(primary.report["proposed_session"])
    primary.order("primary", stance="in_step", session=session, epoch=epoch, fence_epoch=epoch)
    secondary.until(lambda report: report.get("in_step_session") == session, "secondary in step")


def test_a_lost_secondary_freezes_until_the_primary_goes_alone(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    two.stop()
    one.until(lambda report: report.get("broken_session"), "broken")
    released = threading.Event()
    done_at: list[float] = []

    def work() -> None:
        subprocess.run(["dd", "if=/dev/zero", f"of={one.directory}/f", "bs=4k", "count=1", "conv=fsync"], check=True)
        done_at.append(time.monotonic())
        released.set()

    threading.Thread(target=work, daemon=True).start()
    assert not released.wait(0.5)
    one.order("primary", stance="alone", epoch=2)
    assert released.wait(PATIENCE_S)
    two.start()
    two.order("secondary", fence_epoch=1)
    primary_session = bring_in_step_again(one, two)
    assert primary_session
    assert (two.directory / "f").stat().st_size == 4096


def bring_in_step_again(one: Node, two: Node) -> str:
    one.until(lambda report: report.get("proposed_session"), "proposal")
    session = str(one.report["proposed_session"])
    one.order("primary", stance="in_step", session=session, epoch=2)
    two.until(lambda report: report.get("in_step_session") == session, "in step")
    return session
