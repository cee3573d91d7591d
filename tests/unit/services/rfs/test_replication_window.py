"""The ring gives back what was put in, over its end and over a restart, and holds back when it is full."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from holdfast.errors import PeerError, StorageError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.rfs.core import checksum, codec, record
from services.rfs.core import operations as ops
from services.rfs.core.markers import Item
from services.rfs.stream import Window


def write(data: bytes) -> ops.Write:
    return ops.Write(tree=0, path=b"f", offset=0, data=data)


def unread(window: Window, position: int) -> list[Item]:
    """Everything in the ring from a position on, as a receiver would decode it."""
    data = b""
    at = position
    while piece := bytes(window.unsent(at)):
        data += piece
        at += len(piece)
    received = memoryview(bytearray(data))
    found = record.read(received, 0, len(data), after=position, epoch=window.epoch, fast=window.fast)
    return [codec.decode(one.kind, one.tree, one.body) for one in found]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=900), st.booleans()), max_size=60))
def test_the_ring_is_a_queue_of_records(tmp_path: Path, steps: list[tuple[bytes, bool]]) -> None:
    (tmp_path / "ring").unlink(missing_ok=True)
    window = Window(tmp_path / "ring", capacity=4096)
    window.begin("s", 3)
    kept: list[tuple[int, Item]] = []
    for data, acknowledge in steps:
        item = write(data)
        end = window.append(item)
        if end is None:
            assert sum(len(one.data) for _, one in kept if isinstance(one, ops.Write)) + len(data) + 40 > 2048
        else:
            kept.append((end, item))
        if acknowledge and kept:
            position, _ = kept.pop(0)
            assert window.acknowledge(position)
        assert unread(window, window.applied) == [item for _, item in kept]
    window.close()


def test_another_process_finds_what_was_not_applied(tmp_path: Path) -> None:
    window = Window(tmp_path / "ring", capacity=4096)
    window.begin("session-1", 5)
    first = window.append(write(b"one"))
    window.append(write(b"two"))
    assert first is not None
    window.acknowledge(first)
    window.in_step = True
    window.close()
    again = Window(tmp_path / "ring", capacity=4096)
    assert (again.session, again.epoch, again.in_step) == ("session-1", 5, True)
    assert unread(again, again.applied) == [write(b"two")]
    again.close()


def test_a_position_of_another_session_is_not_acknowledged(tmp_path: Path) -> None:
    window = Window(tmp_path / "ring", capacity=4096)
    window.begin("a", 1)
    window.append(write(b"x"))
    start = window.begin("b", 1)
    assert not window.acknowledge(start - 1)
    assert not window.acknowledge(start + 1)
    assert window.acknowledge(start)
    window.close()


@pytest.mark.skipif(not checksum.FAST, reason="libxxhash.so.0 is not installed")
def test_large_records_of_a_session_with_fast_checksums_survive_the_end_of_the_ring(tmp_path: Path) -> None:
    window = Window(tmp_path / "ring", capacity=4 * checksum.WIDE_BYTES)
    window.begin("s", 2**40 + 3, fast=True)
    dice = random.Random(5)
    for size in (1, checksum.WIDE_BYTES, 2 * checksum.WIDE_BYTES, 100, checksum.WIDE_BYTES + 7) * 5:
        before, item = window.head, write(dice.randbytes(size))
        end = window.append(item)
        assert end is not None
        assert unread(window, before) == [item]
        assert window.acknowledge(end)
    window.close()


@pytest.mark.skipif(not checksum.FAST, reason="libxxhash.so.0 is not installed")
def test_fast_checksums_find_a_changed_bit_and_are_not_taken_for_others(tmp_path: Path) -> None:
    window = Window(tmp_path / "ring", capacity=1 << 20)
    start = window.begin("s", 1, fast=True)
    window.append(write(bytes(checksum.WIDE_BYTES)))
    data = bytearray(window.unsent(start))
    with pytest.raises(PeerError):
        list(record.read(memoryview(data), 0, len(data), after=start, epoch=1))
    data[-1] ^= 4
    with pytest.raises(PeerError):
        list(record.read(memoryview(data), 0, len(data), after=start, epoch=1, fast=True))
    window.close()


def test_a_stream_whose_checksums_can_be_computed_no_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(tmp_path / "ring", capacity=4096)
    window.begin("s", 1, fast=True)
    window.close()
    monkeypatch.setattr(checksum, "FAST", "")
    with pytest.raises(StorageError, match="libxxhash"):
        Window(tmp_path / "ring", capacity=4096)
