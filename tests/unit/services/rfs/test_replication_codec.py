"""Operations and records survive the way to bytes and back; rubbish is refused."""

from __future__ import annotations

import pytest
from holdfast.errors import PeerError
from hypothesis import given
from hypothesis import strategies as st

from services.rfs.core import codec, record
from services.rfs.core import operations as ops
from services.rfs.core.markers import Checkpoint, Equalise, InStep, Item, Probe, Remove

_name = st.binary(min_size=1, max_size=40).filter(lambda n: not set(n) & {0, 47} and n not in (b".", b".."))
_path = st.lists(_name, max_size=4).map(b"/".join)
_tree = st.integers(0, 63)
_u32 = st.integers(0, 2**32 - 1)
_u63 = st.integers(0, 2**63 - 1)
_i63 = st.integers(-(2**63), 2**63 - 1)
_attribute = st.tuples(st.binary(max_size=50), st.binary(max_size=300))

ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(ops.Create, tree=_tree, path=_path, mode=_u32, uid=_u32, gid=_u32, parent_mtime_ns=_u63),
    st.builds(ops.MakeDirectory, tree=_tree, path=_path, mode=_u32, uid=_u32, gid=_u32, parent_mtime_ns=_u63),
    st.builds(ops.MakeNode, tree=_tree, path=_path, mode=_u32, device=_u63, uid=_u32, gid=_u32, parent_mtime_ns=_u63),
    st.builds(
        ops.MakeSymlink,
        tree=_tree,
        path=_path,
        target=st.binary(max_size=100),
        uid=_u32,
        gid=_u32,
        parent_mtime_ns=_u63,
    ),
    st.builds(ops.MakeLink, tree=_tree, path=_path, source=_path, parent_mtime_ns=_i63),
    st.builds(ops.Unlink, tree=_tree, path=_path, parent_mtime_ns=_i63),
    st.builds(ops.RemoveDirectory, tree=_tree, path=_path, parent_mtime_ns=_i63),
    st.builds(
        ops.Rename,
        tree=_tree,
        path=_path,
        target=_path,
        flags=st.integers(0, 2),
        parent_mtime_ns=_i63,
        target_parent_mtime_ns=_i63,
    ),
    st.builds(ops.Write, tree=_tree, path=_path, offset=_u63, data=st.binary(max_size=2000)),
    st.builds(ops.Truncate, tree=_tree, path=_path, size=_u63),
    st.builds(ops.Allocate, tree=_tree, path=_path, mode=_u32, offset=_u63, length=_u63),
    st.builds(ops.SetMode, tree=_tree, path=_path, mode=_u32),
    st.builds(ops.SetOwner, tree=_tree, path=_path, uid=_i63, gid=_i63, mode=_u32),
    st.builds(ops.SetTimes, tree=_tree, path=_path, mtime_ns=_i63, atime_ns=_i63),
    st.builds(ops.SetAttribute, tree=_tree, path=_path, name=_name, value=st.binary(max_size=500)),
    st.builds(ops.RemoveAttribute, tree=_tree, path=_path, name=_name),
    st.builds(ops.Synchronise, tree=_tree, path=_path, data_only=st.booleans(), whole=st.booleans()),
    st.builds(
        Equalise,
        tree=_tree,
        path=_path,
        mode=_u32,
        uid=_u32,
        gid=_u32,
        mtime_ns=_i63,
        size=_u63,
        device=_u63,
        target=st.binary(max_size=50),
        link_to=_path,
        single=st.booleans(),
        keep=st.booleans(),
        attributes=st.lists(_attribute, max_size=3).map(tuple),
    ),
    st.builds(Remove, tree=_tree, path=_path),
    st.builds(Probe, tree=_tree, path=_path, zone=_u32, token=_u63),
    st.builds(InStep, session=st.text(st.characters(codec="ascii"), max_size=60)),
    st.builds(Checkpoint, number=_u63),
)


@given(ITEMS)
def test_every_item_decodes_to_what_was_encoded(item: Item) -> None:
    kind, tree, head, payload = codec.encode(item)
    found = codec.decode(kind, tree, memoryview(head + bytes(payload)))
    assert found == item


@given(st.integers(0, 60), st.binary(max_size=200))
def test_rubbish_is_refused_or_is_an_operation_inside_its_tree(kind: int, body: bytes) -> None:
    try:
        item = codec.decode(kind, 0, memoryview(body))
    except PeerError:
        return
    if isinstance(item, ops.Operation):
        assert b".." not in item.path.split(b"/")
        assert not item.path.startswith(b"/")


@pytest.mark.parametrize("path", [b"/etc/passwd", b"a/../b", b"..", b"a//b", b"a/", b"./a", b"a\0b"])
def test_a_path_that_leaves_its_tree_is_refused(path: bytes) -> None:
    with pytest.raises(PeerError, match="leaves its tree"):
        codec.decode(codec.KIND_TRUNCATE, 0, memoryview(codec.text(path) + bytes(8)))


def _stream(items: list[Item], epoch: int = 7, start: int = 1000) -> bytes:
    data = b""
    at = start
    for item in items:
        kind, tree, head, payload = codec.encode(item)
        at += record.size_of(head, payload)
        data += record.header(at, epoch, tree, kind, head, payload) + head + bytes(payload)
    return data


@given(st.lists(ITEMS, max_size=8), st.integers(0, 100))
def test_records_are_read_back_in_order_and_an_incomplete_one_waits(items: list[Item], missing: int) -> None:
    data = _stream(items)
    short = data[: max(0, len(data) - missing)]
    found = list(record.read(memoryview(short), 0, len(short), after=1000, epoch=7))
    assert [codec.decode(one.kind, one.tree, one.body) for one in found] == items[: len(found)]
    assert len(found) == len(items) or missing > 0


@given(st.lists(ITEMS, min_size=1, max_size=3), st.data())
def test_a_flipped_bit_is_never_taken_for_an_operation(items: list[Item], data: st.DataObject) -> None:
    stream = bytearray(_stream(items))
    place = data.draw(st.integers(0, len(stream) - 1))
    stream[place] ^= 1 << data.draw(st.integers(0, 7))
    found = []
    try:
        for one in record.read(memoryview(stream), 0, len(stream), after=1000, epoch=7):
            found.append(codec.decode(one.kind, one.tree, one.body))
    except PeerError:
        pass
    assert found == items[: len(found)]
    assert len(found) < len(items)


def test_a_record_of_another_epoch_is_refused() -> None:
    data = _stream([Checkpoint(number=1)], epoch=6)
    with pytest.raises(PeerError, match="epoch 6"):
        list(record.read(memoryview(data), 0, len(data), after=1000, epoch=7))
