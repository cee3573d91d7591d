"""A primary and a secondary of the replication half, over loopback, without mounts."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rfs import resync
from services.rfs.engine import Promise
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step, differences, until

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, "one")
    yield copy
    copy.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, "two")
    yield copy
    copy.close()


def populate(path: Path, count: int = 20) -> None:
    for number in range(count):
        directory = path / f"d{number % 4}"
        directory.mkdir(exist_ok=True)
        (directory / f"f{number}").write_bytes(os.urandom(random.Random(number).randrange(0, 300_000)))
    (path / "link").symlink_to("d0/f0")
    os.link(path / "d0/f0", path / "d1/other-name")
    os.mkfifo(path / "pipe")
    os.setxattr(path / "d0/f0", "user.note", b"value")
    with (path / "sparse").open("wb") as file:
        file.truncate(20 << 20)
        file.seek(7 << 20)
        file.write(b"data in the middle")


def test_an_empty_secondary_receives_everything(one: Copy, two: Copy) -> None:
    populate(one.path)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []
    assert os.stat(two.path / "sparse").st_blocks * 512 < 2 << 20


def test_operations_in_step_arrive_and_are_promised(one: Copy, two: Copy) -> None:
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    hand.mkdir(b"d")
    hand.create(b"d/a")
    hand.write(b"d/a", b"hello")
    hand.fsync(b"d/a")
    assert (two.path / "d/a").read_bytes() == b"hello"
    hand.link(b"d/b", b"d/a")
    hand.symlink(b"s", b"/etc/passwd")
    hand.fifo(b"p")
    hand.rename(b"d/a", b"c")
    hand.chmod(b"c", 0o600)
    hand.setxattr(b"c", b"user.x", b"y")
    hand.truncate(b"c", 3)
    hand.mkdir(b"e")
    hand.rmdir(b"e")
    hand.create(b"gone")
    one.engine.wait(hand.unlink(b"gone"))
    assert differences(one.path, two.path) == []


def test_the_window_wraps_and_holds_back(one: Copy, two: Copy) -> None:
    primary = one.become_primary(capacity=3 << 20)
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    hand.create(b"big")
    for place in range(40):
        hand.write(b"big", os.urandom(700_001), place * 700_001)
    hand.fsync(b"big")
    assert differences(one.path, two.path) == []


def test_a_secondary_that_comes_back_goes_on_in_the_same_session(one: Copy, two: Copy) -> None:
    primary = one.become_primary()
    two.become_secondary(primary.port)
    session = bring_in_step(one, two)
    hand = Hand(one)
    hand.create(b"a")
    hand.write(b"a", b"1")
    hand.fsync(b"a")
    two.stop_secondary()
    until(lambda: primary.broken_session == session, what="broken")
    sequence = hand.write(b"a", b"2")
    two.become_secondary(primary.port)
    one.engine.wait(sequence)
    assert primary.broken_session == ""
    assert primary.in_step_session == session
    assert differences(one.path, two.path) == []


def test_going_alone_releases_the_waiting_and_the_return_copies_the_difference(one: Copy, two: Copy) -> None:
    populate(one.path)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    two.stop_secondary()
    hand.create(b"alone")
    sequence = hand.write(b"alone", os.urandom(3 << 20))
    hand.write(b"sparse", b"new", 12 << 20)
    hand.rename(b"d2", b"renamed")
    hand.unlink(b"link")
    primary.go_alone()
    one.engine.wait(sequence)
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []
    assert primary.counts.kind == "difference"
    assert primary.counts.compared == 0


def test_work_goes_on_during_a_resync(one: Copy, two: Copy) -> None:
    populate(one.path, 200)
    primary = one.become_primary()
    hand = Hand(one)
    two.become_secondary(primary.port)
    dice = random.Random(5)
    number = 0
    while not primary.proposed_session:
        assert not primary.failed, primary.failed
        name = b"d%d/live%d" % (dice.randrange(4), dice.randrange(20))
        place = one.path / os.fsdecode(name)
        if not place.exists():
            hand.create(name)
        elif dice.random() < 0.2:
            hand.unlink(name)
        elif dice.random() < 0.2:
            target = b"d%d/moved%d" % (dice.randrange(4), dice.randrange(20))
            hand.rename(name, target)
        else:
            hand.write(name, os.urandom(dice.randrange(1, 100_000)), dice.randrange(0, 2 << 20))
        hand.write(b"d0/f0", os.urandom(5000), dice.randrange(0, 1 << 20))
        number += 1
        if number % 50 == 0:
            source, target = (b"d3", b"d5") if (one.path / "d3").exists() else (b"d5", b"d3")
            if dice.random() < 0.5:
                hand.rename(source, target)
                hand.rename(target, source)
    bring_in_step(one, two)
    one.engine.wait(hand.write(b"d0/f0", b"end"))
    assert differences(one.path, two.path) == []


def test_verification_finds_a_damaged_file_and_nothing_else(one: Copy, two: Copy) -> None:
    populate(one.path)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    result = primary.verify()
    assert (result.differences, result.files) == ([], 28)
    target = two.path / "d1/f1"
    before = os.stat(target)
    with target.open("r+b") as file:
        file.write(b"X")
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(two.path / "pipe", 0o777)
    found = {(one.path, one.what.split(" at ")[0]) for one in primary.verify().differences}
    assert found == {(b"d1/f1", "contents"), (b"pipe", "mode")}


def test_a_stepped_down_primary_refuses_and_a_promoted_secondary_has_everything(one: Copy, two: Copy) -> None:
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    hand.create(b"a")
    hand.write(b"a", b"kept")
    hand.fsync(b"a")
    two.stop_secondary()
    sequence = hand.write(b"a", b"lost")
    one.stop_primary(Promise.REFUSED)
    with pytest.raises(OSError, match="primary role"):
        one.engine.wait(sequence)
    second = two.become_primary(epoch=2)
    Hand(two).create(b"b")
    one.become_secondary(second.port, fence_epoch=2)
    bring_in_step(two, one)
    assert (one.path / "a").read_bytes() == b"kept"
    assert differences(one.path, two.path) == []


def test_a_diverged_copy_keeps_its_files_in_quarantine(one: Copy, two: Copy, tmp_path: Path) -> None:
    populate(one.path)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    two.stop_secondary()
    primary.go_alone()
    Hand(one).write(b"d0/f0", b"from one")
    two.become_primary(epoch=2)
    hand = Hand(two)
    hand.write(b"d0/f0", b"from two")
    hand.create(b"only-two")
    hand.write(b"only-two", b"precious")
    two.stop_primary()
    kept = tmp_path / "quarantine"
    two.become_secondary(primary.port, quarantine=kept)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []
    assert (kept / "tree-0/only-two").read_bytes() == b"precious"
    assert (kept / "tree-0/d0/f0").read_bytes().startswith(b"from two")
    assert len((kept / "list.jsonl").read_text().splitlines()) == 2 + 1  # d0/f0 has two names


def test_a_newer_epoch_refuses_the_stream_of_an_old_primary(one: Copy, two: Copy) -> None:
    primary = one.become_primary(epoch=3)
    secondary = two.become_secondary(primary.port, fence_epoch=4)
    until(lambda: "older than 4" in secondary.refused, what="refused")
    assert primary.proposed_session == ""


def test_a_tree_larger_than_what_is_looked_at_at_a_time_arrives_whole(
    one: Copy, two: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "FOUND_MAX", 20)
    for directory in ("d", "d/e", "d/e/f", "g"):
        (one.path / directory).mkdir()
        for number in range(30):
            (one.path / directory / f"f{number}").write_bytes(b"%d" % number)
    (two.path / "g").mkdir()
    (two.path / "g/f3").write_bytes(b"X")
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []
