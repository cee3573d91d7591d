"""How much a resync would copy, said beforehand on the primary, and what it copies then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.errors import RefusedError

from services.rfs.estimate import Estimate, Estimation
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step

MIB = 1 << 20

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


def estimated(copy: Copy, *, full: bool = False) -> Estimate:
    return Estimation(copy.trees, copy.journal, full=full).run()


def test_estimate_is_never_less_than_what_the_resync_then_copies(one: Copy, two: Copy) -> None:
    (one.path / "big").write_bytes(os.urandom(8 * MIB))
    (one.path / "other").write_bytes(os.urandom(2 * MIB))
    primary = one.become_primary()
    assert estimated(one) == Estimate("full", files=2, bytes=10 * MIB)
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert primary.checkpoint(10.0)
    assert estimated(one) == Estimate("difference")
    two.stop_secondary()
    primary.go_alone()
    hand = Hand(one)
    hand.write(b"big", b"x" * 4096, 3 * MIB + 5)
    hand.write(b"big", b"y" * 4096, 7 * MIB)
    hand.mkdir(b"new")
    hand.create(b"new/file")
    hand.write(b"new/file", b"z" * 1000)
    hand.chmod(b"other", 0o600)
    found = estimated(one)
    assert found == Estimate("difference", files=2, bytes=2 * MIB + 1000)
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert 0 < primary.counts.bytes_sent <= found.bytes


def test_holes_and_second_names_of_a_file_are_not_counted(one: Copy) -> None:
    (one.path / "sparse").touch()
    os.truncate(one.path / "sparse", 100 * MIB)
    with (one.path / "sparse").open("r+b") as file:
        file.write(b"start" * 1000)
    (one.path / "first").write_bytes(b"f" * 3000)
    os.link(one.path / "first", one.path / "second")
    os.symlink("first", one.path / "link")
    found = estimated(one, full=True)
    assert found.files == 2
    assert 8000 <= found.bytes < MIB


def test_directory_that_is_only_compared_is_counted_by_names(one: Copy) -> None:
    (one.path / "d/e").mkdir(parents=True)
    for number in range(3):
        (one.path / f"d/e/{number}").write_bytes(b"content")
    one.journal.last_session = "s"
    one.journal.note_everything()
    assert estimated(one) == Estimate("difference", names=5)


def test_estimate_ends_when_the_directories_are_closed(one: Copy) -> None:
    for number in range(300):
        (one.path / str(number)).touch()
    estimation = Estimation(one.trees, one.journal, full=True)
    estimation.stop()
    with pytest.raises(RefusedError, match="closed meanwhile"):
        estimation.run()
    assert estimation.is_over
