"""A disk without room: what applications see, what is reported, and that the copies become equal once there is room."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.rfs import quarantine
from tests.bench.rfs_pair import Node, free_port, pair
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step, differences, until

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]

WORKLOAD = Path(__file__).with_name("mounted_workload.py")
SMALL_BYTES = 12 << 20
PATIENCE_S = 30.0


@contextmanager
def small_disk(base: Path, place: Path) -> Iterator[Path]:
    """A file system of SMALL_BYTES whose directory `data` is also at `place`; a filler beside it takes room away."""
    disk = base / "small"
    disk.mkdir()
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "small", str(disk)], check=True)
    try:
        (disk / "data").mkdir()
        subprocess.run(["mount", "--bind", str(disk / "data"), str(place)], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, *, leave: int = 0) -> None:
    """Take all room but `leave` bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))


def step_in_again(primary: Node, secondary: Node, *, epoch: int) -> None:
    primary.until(lambda report: report.get("proposed_session"), "proposal")
    session = str(primary.report["proposed_session"])
    primary.order("primary", stance="in_step", session=session, epoch=epoch)
    secondary.until(lambda report: report.get("in_step_session") == session, "in step")


def test_a_full_secondary_costs_applications_no_error_and_catches_up_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, tmp_path / "two-data") as disk, pair(tmp_path) as (one, two):
        fill(disk, leave=1 << 20)
        work = subprocess.Popen(
            [sys.executable, str(WORKLOAD), str(one.directory), "7"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            two.until(lambda report: "No space left" in str(report.get("failed")), "says that it is full", PATIENCE_S)
            one.until(lambda report: report.get("broken_session"), "frozen", PATIENCE_S)
            one.order("primary", stance="alone", epoch=2)
            one.until(lambda report: not report.get("broken_session"), "alone", PATIENCE_S)
            (one.directory / "after").write_bytes(b"goes on")
            said, _ = work.communicate(timeout=PATIENCE_S)
        finally:
            work.kill()
            work.communicate()
        result = json.loads(said)
        assert result["errors"] == []
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", f"remount,size={20 * SMALL_BYTES}", str(disk)], check=True)
        step_in_again(one, two, epoch=2)
        assert two.report["failed"] == ""
        compared = one.verify()
        assert compared["equal"], compared
        assert (two.directory / "after").read_bytes() == b"goes on"


def test_a_full_primary_gives_enospc_and_nothing_else_breaks(tmp_path: Path) -> None:
    with small_disk(tmp_path, tmp_path / "one-data") as disk, pair(tmp_path) as (one, two):
        (one.directory / "before").write_bytes(os.urandom(100_000))
        fill(disk, leave=300_000)
        with pytest.raises(OSError, match="No space left") as caught:
            (one.directory / "too-large").write_bytes(os.urandom(2 << 20))
        assert caught.value.errno == errno.ENOSPC
        session = one.report["in_step_session"]
        (one.directory / "before").chmod(0o600)
        (one.directory / "before").rename(one.directory / "renamed")
        assert (two.directory / "renamed").stat().st_mode & 0o777 == 0o600
        compared = one.verify()
        assert compared["equal"], compared
        (one.directory / "too-large").unlink()
        (disk / "filler").unlink()
        (one.directory / "fits-now").write_bytes(os.urandom(2 << 20))
        compared = one.verify()
        assert compared["equal"], compared
        assert one.report["in_step_session"] == session
        assert one.report["failed"] == ""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, "one")
    yield copy
    copy.close()


@pytest.mark.parametrize("side", ["one", "two"])
def test_no_room_for_the_change_journal_stops_neither_copy(tmp_path: Path, side: str) -> None:
    with small_disk(tmp_path, tmp_path / f"{side}-data") as disk:
        one, two = Copy(tmp_path, "one"), Copy(tmp_path, "two")
        try:
            primary = one.become_primary()
            secondary = two.become_secondary(primary.port)
            session = bring_in_step(one, two)
            fill(disk)
            hand = Hand(one)
            for number in range(200):
                hand.create(b"file-%d" % number + b"n" * 200)
            hand.fsync(b"file-0" + b"n" * 200)
            assert primary.checkpoint(PATIENCE_S)
            assert len({"one": one, "two": two}[side].journal.entries()) > 0, "without room, nothing is forgotten"
            hand.fsync(b"file-1" + b"n" * 200)
            assert secondary.in_step_session == primary.in_step_session == session
            assert differences(one.path, two.path) == []
        finally:
            two.close()
            one.close()


def test_a_stop_that_cannot_be_recorded_makes_the_next_comparison_a_full_one(tmp_path: Path) -> None:
    with small_disk(tmp_path, tmp_path / "one-state") as disk, pair(tmp_path) as (one, two):
        (one.directory / "file").write_bytes(b"before")
        fill(disk)
        for node in (two, one):
            node.order("off")
            node.until(lambda report: report.get("mode") == "off" and not report.get("mounted"), "off")
        assert one.report["failed"] == ""
        before = (one.directory / "file").stat()
        (one.directory / "file").write_bytes(b"after!")
        os.utime(one.directory / "file", ns=(before.st_atime_ns, before.st_mtime_ns))
        (disk / "filler").unlink()
        one.order("primary")
        one.until(lambda report: report.get("writable"), "primary")
        two.order("secondary")
        step_in_again(one, two, epoch=1)
        assert one.report["progress"]["kind"] == "full"
        assert (two.directory / "file").read_bytes() == b"after!"


def test_a_diverged_copy_that_does_not_fit_into_quarantine_is_not_overwritten(tmp_path: Path, one: Copy) -> None:
    place = tmp_path / "kept"
    with small_disk(tmp_path, place) as disk:
        two = Copy(tmp_path, "two")
        try:
            (one.path / "file").write_bytes(b"the winner's")
            (two.path / "file").write_bytes(b"the loser's")
            primary = one.become_primary()
            secondary = two.become_secondary(primary.port, quarantine=place / "diverged")
            until(lambda: "quarantine" in secondary.failed, what="refused")
            assert (two.path / "file").read_bytes() == b"the loser's"
            assert primary.proposed_session == ""
            Hand(one).create(b"goes-on")
            room = quarantine.RESERVE_BYTES + SMALL_BYTES
            subprocess.run(["mount", "-o", f"remount,size={room}", str(disk)], check=True)
            bring_in_step(one, two)
            assert differences(one.path, two.path) == []
            assert (place / "diverged/tree-0/file").read_bytes() == b"the loser's"
        finally:
            two.close()


def test_acknowledged_from_memory_everything_is_equal_after_the_secondary_was_killed(tmp_path: Path) -> None:
    port = free_port()
    one, two = Node("one", tmp_path, port=port), Node("two", tmp_path, port=port)
    try:
        one.start()
        two.start()
        one.order("primary", on_disk=False)
        one.until(lambda report: report.get("writable"), "primary")
        two.order("secondary", on_disk=False)
        one.until(lambda report: report.get("proposed_session"), "proposal")
        session = str(one.report["proposed_session"])
        one.order("primary", stance="in_step", session=session, on_disk=False)
        two.until(lambda report: report.get("in_step_session") == session, "in step")
        for number in range(20):
            (one.directory / f"f{number}").write_bytes(os.urandom(100_000))
            if number == 10:
                two.kill()
        one.until(lambda report: report.get("connected") and not report.get("broken_session"), "in step again")
        assert one.report["in_step_session"] == session
        compared = one.verify()
        assert compared["equal"], compared
        assert compared["files"] == 20
    finally:
        two.close()
        one.close()
