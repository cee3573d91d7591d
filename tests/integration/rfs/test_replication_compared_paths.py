"""How much a resync looks at: nothing after an orderly exchange of roles, what is unconfirmed after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rfs.engine import Promise
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step, differences, until

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]

FILES = 300
UNCONFIRMED = 7


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


def busy_in_step(one: Copy, two: Copy) -> Hand:
    """Both in step, after more work than a resync should look at again."""
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    for number in range(FILES):
        hand.create(b"file-%d" % number)
        hand.write(b"file-%d" % number, b"contents")
    hand.fsync(b"file-0")
    return hand


def exchange(old: Copy, new: Copy, *, epoch: int) -> None:
    """`old` becomes secondary of `new`, which is in step with it again afterwards."""
    old.stop_primary()
    new.stop_secondary()
    port = new.become_primary(epoch=epoch).port
    old.become_secondary(port, fence_epoch=epoch)
    bring_in_step(new, old)


def looked_at(copy: Copy) -> tuple[int, int, int]:
    """Paths from the journals, names compared, bytes compared by the last resync of this primary."""
    assert copy.primary is not None
    counts = copy.primary.counts
    return counts.entries, counts.compared, counts.bytes_compared


def test_nothing_is_compared_after_an_orderly_exchange_of_roles(one: Copy, two: Copy) -> None:
    busy_in_step(one, two)
    assert one.primary is not None
    assert one.engine is not None
    # The first checkpoint of a worker keeps what its predecessor may have left.
    assert one.primary.checkpoint(10)
    one.primary.drain("session", lambda: None)
    assert one.primary.drained_session == "session"
    exchange(one, two, epoch=2)
    assert looked_at(two) == (0, 0, 0)
    assert differences(one.path, two.path) == []


def test_after_a_crash_of_the_primary_only_what_no_checkpoint_has_confirmed_is_compared(one: Copy, two: Copy) -> None:
    hand = busy_in_step(one, two)
    assert one.primary is not None
    for _ in range(2):
        assert one.primary.checkpoint(10)
    for number in range(UNCONFIRMED):
        hand.chmod(b"file-%d" % number, 0o600)
    hand.fsync(b"file-0")
    one.stop_primary(Promise.ENDED)
    exchange(one, two, epoch=2)
    assert looked_at(two) == (UNCONFIRMED, 0, 0)
    assert differences(one.path, two.path) == []


def test_what_the_secondary_never_got_is_taken_back(one: Copy, two: Copy) -> None:
    hand = busy_in_step(one, two)
    assert one.primary is not None
    for _ in range(2):
        assert one.primary.checkpoint(10)
    until(lambda: two.journal.noted == 0, what="the secondary has forgotten its notes")
    two.stop_secondary()
    hand.write(b"file-3", b"CONTENTS")
    one.stop_primary(Promise.ENDED)
    exchange(one, two, epoch=2)
    assert looked_at(two)[0] == 1
    assert (one.path / "file-3").read_bytes() == b"contents"
    assert differences(one.path, two.path) == []


def test_a_checkpoint_is_made_by_itself_when_it_is_quiet(one: Copy, two: Copy) -> None:
    busy_in_step(one, two)
    until(lambda: two.journal.entries().paths() == [], seconds=60, what="nothing is left to compare")
    until(lambda: one.journal.entries().paths() == [], seconds=60, what="nothing is left to compare")


def test_a_stopped_copy_loses_no_notes_by_a_reboot(one: Copy, two: Copy) -> None:
    hand = busy_in_step(one, two)
    two.stop_secondary()
    assert one.primary is not None
    one.primary.go_alone()
    hand.write(b"file-5", b"changed")
    before = one.journal.entries().paths()
    one.journal.settle()
    again = type(one.journal)(one.base / "one-data", trees=1, boot=os.urandom(16))
    assert not again.rebooted
    assert again.entries().paths() == before
    again.close()
