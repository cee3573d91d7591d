"""What happens when a secondary joins again after its primary, its operator or its journals have moved on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_a_primary_whose_epoch_grew_accepts_a_secondary_that_has_seen_the_new_one(one: Copy, two: Copy) -> None:
    primary = one.become_primary(epoch=3)
    secondary = two.become_secondary(primary.port, fence_epoch=4)
    until(lambda: "older than 4" in secondary.refused, what="refused")
    primary.use_epoch(4)
    bring_in_step(one, two)


def test_a_path_known_from_the_journal_below_directories_that_the_secondary_lacks(one: Copy, two: Copy) -> None:
    (one.path / "base/5").mkdir(parents=True)
    (one.path / "base/5/old").write_bytes(b"made before there was a journal")
    primary = one.become_primary()
    hand = Hand(one)
    hand.create(b"base/5/new")
    hand.write(b"base/5/new", b"x")
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []


def test_a_full_resync_finds_what_changed_behind_our_back(one: Copy, two: Copy) -> None:
    (one.path / "file").write_bytes(os.urandom(100_000))
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    two.stop_secondary()
    damaged = two.path / "file"
    before = os.stat(damaged)
    with damaged.open("r+b") as file:
        file.seek(50_000)
        file.write(b"damage")
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    primary.go_alone()
    two.become_secondary(primary.port, full=True)
    bring_in_step(one, two)
    assert primary.counts.kind == "full"
    assert differences(one.path, two.path) == []
