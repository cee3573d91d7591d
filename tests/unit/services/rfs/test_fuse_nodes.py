"""The node table and the map that outlives it, and the packing of what the kernel reads."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.errors import StorageError
from hypothesis import given
from hypothesis import strategies as st

from services.rfs.fuse import abi, codec
from services.rfs.node_map import NodeMap
from services.rfs.nodes import Node, NodeTable


def status(inode: int, kind: int = stat.S_IFREG, links: int = 1) -> os.stat_result:
    return os.stat_result((kind | 0o644, inode, 1, links, 0, 0, 0, 0, 0, 0))


def fresh(path: Path) -> NodeTable:
    return NodeTable(NodeMap(path), status(2, stat.S_IFDIR), lambda path: path.endswith(b".tmp"))


@pytest.fixture
def table(tmp_path: Path) -> Iterator[NodeTable]:
    made = fresh(tmp_path / "nodes")
    yield made
    made.close()


def directory(table: NodeTable, parent: Node, name: bytes, inode: int) -> Node:
    return table.remember(parent, name, status(inode, stat.S_IFDIR, 2))


def test_a_node_is_found_again_under_its_name(table: NodeTable) -> None:
    node = table.remember(table.root, b"f", status(10))
    assert table.remember(table.root, b"f", status(10)) is node
    assert (node.lookups, table.path(node)) == (2, b"f")


def test_another_inode_under_the_name_is_another_node(table: NodeTable) -> None:
    old = table.remember(table.root, b"f", status(10))
    new = table.remember(table.root, b"f", status(11))
    assert (new.id != old.id, table.path(old)) == (True, None)
    with pytest.raises(OSError) as caught:
        table.location(old)
    assert caught.value.errno == errno.ESTALE


def test_hard_links_share_a_node_that_keeps_a_path_while_one_name_is_left(table: NodeTable) -> None:
    node = table.remember(table.root, b"a", status(10, links=2))
    assert table.remember(table.root, b"b", status(10, links=2)) is node
    table.drop_name(table.root, b"a")
    assert table.path(node) == b"b"
    table.drop_name(table.root, b"b")
    assert table.path(node) is None


def test_paths_follow_renamed_directories(table: NodeTable) -> None:
    one = directory(table, table.root, b"one", 10)
    two = directory(table, one, b"two", 11)
    node = table.remember(two, b"f", status(12))
    assert table.path(node) == b"one/two/f"
    table.move(table.root, b"one", table.root, b"uno")
    assert table.path(node) == b"uno/two/f"
    assert table.walk(b"uno/two/f") is node


def test_exchanged_names(table: NodeTable) -> None:
    file, folder = table.remember(table.root, b"a", status(10)), directory(table, table.root, b"b", 11)
    below = table.remember(folder, b"c", status(12))
    table.exchange(table.root, b"a", table.root, b"b")
    assert (table.path(file), table.path(below)) == (b"b", b"a/c")


def test_excluded_and_hidden_nodes_have_no_replicated_path(table: NodeTable) -> None:
    excluded = table.remember(table.root, b"x.tmp", status(10))
    deleted = table.remember(table.root, b"f", status(11))
    table.hide(deleted, b".holdfast-unlinked/9")
    assert (table.path(excluded), table.path(deleted)) == (None, None)
    assert table.child_path(table.root, b"y.tmp") is None
    assert table.location(deleted) == (table.root, b".holdfast-unlinked/9")


def test_nodes_are_forgotten_when_the_kernel_lets_go(table: NodeTable) -> None:
    folder = directory(table, table.root, b"d", 10)
    node = table.remember(folder, b"f", status(11))
    table.remember(folder, b"f", status(11))
    assert table.forget(folder.id, 1) is None
    assert table.forget(node.id, 1) is None
    assert table.forget(node.id, 1) is node
    assert len(table) == 1
    assert table.forget(999, 1) is None


def test_deep_paths_need_no_recursion(table: NodeTable) -> None:
    node = table.root
    for depth in range(3000):
        node = directory(table, node, b"d", 10 + depth)
    assert table.path(node) == b"/".join([b"d"] * 3000)


def test_the_next_worker_knows_the_same_nodes(tmp_path: Path) -> None:
    first = fresh(tmp_path / "nodes")
    folder = directory(first, first.root, b"d", 10)
    linked = first.remember(folder, b"f", status(11, links=2))
    first.remember(first.root, b"g", status(11, links=2))
    gone = first.remember(first.root, b"gone", status(12))
    first.forget(gone.id, 1)
    deleted = first.remember(first.root, b"deleted", status(13))
    first.hide(deleted, b".holdfast-unlinked/x")
    first.move(first.root, b"d", first.root, b"moved")
    # Not closed: a killed worker does not close either.
    second = fresh(tmp_path / "nodes")
    same = second.get(linked.id)
    assert same.lookups == 2
    assert {second.child(second.get(folder.id), b"f"), second.child(second.root, b"g")} == {same}
    assert second.path(second.get(folder.id)) == b"moved"
    assert (second.get(deleted.id).is_hidden, second.path(second.get(deleted.id))) == (True, None)
    with pytest.raises(OSError):
        second.get(gone.id)
    assert second.remember(second.root, b"new", status(20)).id > deleted.id
    second.close()
    first.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(0, 8)), max_size=60))
def test_any_history_is_restored(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int]]) -> None:
    """Lookups, renames, removals and forgetting in any order: the next worker sees the same names and counts."""
    path = tmp_path_factory.mktemp("map") / "nodes"
    table = fresh(path)
    for kind, one, two in steps:
        name, other = b"n%d" % one, b"n%d" % two
        match kind:
            case 0:
                table.remember(table.root, name, status(100 + one))
            case 1 if name != other:
                table.move(table.root, name, table.root, other)
            case 2:
                table.drop_name(table.root, name)
            case _:
                node = table.child(table.root, name)
                if node is not None:
                    table.forget(node.id, 1)
    restored = fresh(path)
    assert names(restored) == names(table)
    restored.close()
    table.close()


def names(table: NodeTable) -> dict[bytes, tuple[int, int]]:
    return {name: (node.id, node.lookups) for name, node in (table.root.children or {}).items()}


def test_a_map_that_is_mostly_dead_is_compacted(tmp_path: Path) -> None:
    table = fresh(tmp_path / "nodes")
    kept = table.remember(table.root, b"kept", status(5))
    for number in range(30_000):
        table.forget(table.remember(table.root, b"n%d" % number, status(100 + number)).id, 1)
    assert (tmp_path / "nodes").stat().st_size == 1 << 20
    assert names(table) == {b"kept": (kept.id, 1)}
    table.remember(table.root, b"kept", status(5))
    assert names(fresh(tmp_path / "nodes")) == {b"kept": (kept.id, 2)}


def test_a_file_that_is_no_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nodes").write_bytes(b"rubbish" * 100)
    with pytest.raises(StorageError):
        NodeMap(tmp_path / "nodes")


@given(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))
def test_device_numbers_survive_the_kernels_encoding(major: int, minor: int) -> None:
    assert codec.user_device(codec.kernel_device(os.makedev(major, minor))) == os.makedev(major, minor)


def test_attributes_are_packed_as_the_header_says(tmp_path: Path) -> None:
    os.utime(tmp_path, ns=(1, -1))
    found = tmp_path.stat()
    buffer = memoryview(bytearray(abi.ATTR.size))
    codec.pack_attributes(buffer, 0, found, 7)
    fields = abi.ATTR.unpack(buffer)
    assert fields[0] == found.st_ino
    assert (fields[4], fields[7]) == ((1 << 64) - 1, 999_999_999)
    assert fields[9:11] == (found.st_mode, 7)


def test_features_are_only_those_that_the_kernel_offers() -> None:
    packed = abi.INIT_IN.pack(7, 31, 131072, abi.Init.ASYNC_READ, 0)
    assert codec.parse_init(memoryview(packed)) == (7, 31, 131072, abi.Init.ASYNC_READ)
    extended = abi.INIT_IN.pack(7, 45, 0, abi.Init.INIT_EXT, 1 << 7)
    assert codec.parse_init(memoryview(extended))[3] & abi.Init.HAS_RESEND
    assert not codec.wanted_flags(write_back=False) & abi.Init.WRITEBACK_CACHE
