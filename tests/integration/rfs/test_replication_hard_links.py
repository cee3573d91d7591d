"""Files with several names come out of a resync with the same names and contents, whatever was linked before and since.

A name that is only missed while the secondary is away is the easy case; these are the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rfs.core.limits import ZONE_BYTES
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step, differences

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]

OPERATIONS = 60
NAMES = tuple(b"%c" % letter for letter in b"abcdefgh")


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


def make(hand: Hand, name: bytes, contents: bytes) -> None:
    hand.create(name)
    hand.write(name, contents)


def in_step_then_apart(one: Copy, two: Copy, hand: Hand) -> None:
    """Both copies equal, then only `one` goes on."""
    assert one.primary is not None
    two.become_secondary(one.primary.port)
    bring_in_step(one, two)
    two.stop_secondary()
    one.primary.go_alone()
    assert hand.engine.connected is False


def rejoin(one: Copy, two: Copy) -> None:
    assert one.primary is not None
    two.become_secondary(one.primary.port)
    bring_in_step(one, two)
    assert differences(one.path, two.path) == []


def test_a_write_through_one_name_arrives_when_another_name_leads(one: Copy, two: Copy) -> None:
    one.become_primary()
    hand = Hand(one)
    make(hand, b"a", b"a" * 3 * ZONE_BYTES)
    hand.link(b"b", b"a")
    in_step_then_apart(one, two, hand)
    hand.chmod(b"a", 0o600)
    hand.write(b"b", b"through the other name", 2 * ZONE_BYTES)
    rejoin(one, two)


def test_a_name_taken_from_one_file_and_given_to_another_drags_nothing_along(one: Copy, two: Copy) -> None:
    one.become_primary()
    hand = Hand(one)
    make(hand, b"a", b"a" * 1000)
    hand.link(b"b", b"a")
    in_step_then_apart(one, two, hand)
    hand.unlink(b"b")
    make(hand, b"b", b"b" * 1000)
    hand.link(b"d", b"b")
    hand.link(b"c", b"a")
    rejoin(one, two)


def test_names_exchanged_between_two_pairs(one: Copy, two: Copy) -> None:
    one.become_primary()
    hand = Hand(one)
    make(hand, b"a", b"1" * 5000)
    hand.link(b"b", b"a")
    make(hand, b"c", b"2" * 5000)
    hand.link(b"d", b"c")
    in_step_then_apart(one, two, hand)
    hand.unlink(b"b")
    hand.unlink(b"d")
    hand.link(b"b", b"c")
    hand.link(b"d", b"a")
    hand.write(b"d", b"new", 100)
    rejoin(one, two)


@pytest.mark.parametrize("seed", range(6))
def test_anything_done_to_linked_files_before_and_during_a_resync(one: Copy, two: Copy, seed: int) -> None:
    primary = one.become_primary()
    hand, source = Hand(one), random.Random(seed)
    names: set[bytes] = set()
    for _ in range(OPERATIONS):
        act(hand, source, names)
    in_step_then_apart(one, two, hand)
    for _ in range(OPERATIONS):
        act(hand, source, names)
    two.become_secondary(primary.port)
    for _ in range(OPERATIONS):
        act(hand, source, names)
        if primary.proposed_session:
            break
    bring_in_step(one, two)
    make(hand, b"last", b"what was streamed has been applied")
    hand.fsync(b"last")
    assert differences(one.path, two.path) == []


def act(hand: Hand, source: random.Random, names: set[bytes]) -> None:
    """One operation on a handful of names, half of them about links."""
    free = [name for name in NAMES if name not in names]
    if len(names) < 2:
        name = source.choice(free)
        make(hand, name, source.randbytes(source.randrange(1, 3 * ZONE_BYTES)))
        names.add(name)
        return
    name, other = source.sample(sorted(names), 2)
    match source.choice(("make", "write", "write", "link", "link", "link", "unlink", "rename", "chmod")):
        case "make" if free:
            make(hand, free[0], source.randbytes(source.randrange(1, 3 * ZONE_BYTES)))
            names.add(free[0])
        case "write":
            hand.write(name, source.randbytes(1000), source.randrange(2 * ZONE_BYTES))
        case "link" if free:
            hand.link(free[0], name)
            names.add(free[0])
        case "unlink":
            hand.unlink(name)
            names.discard(name)
        case "rename":
            if not same_file(hand, name, other):
                hand.rename(name, other)
                names.discard(name)
        case _:
            hand.chmod(name, source.choice((0o600, 0o640, 0o644)))


def same_file(hand: Hand, one: bytes, other: bytes) -> bool:
    """Renaming a file over another of its own names does nothing (rename(2))."""
    return hand.inode(one) == hand.inode(other)
