"""Nodes: what the kernel's node ids mean, and the descriptors we hold for them.

One node per inode, with all the names of it that the kernel has seen. The table is also kept in a `NodeMap`, from
which the next worker process continues. It does no input or output on the tree itself.

Locking: every method takes the table's own lock, a leaf in the lock order (`CONCURRENCY.md`).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from typing import NewType

from services.rfs.fuse.abi import ROOT_ID
from services.rfs.node_map import NodeMap, StoredName

NodeId = NewType("NodeId", int)

HIDDEN_DIRECTORY = b".holdfast-unlinked"
"""A directory at the top of the tree whose entries keep deleted but still open files alive; see `CONCURRENCY.md`."""

HIDDEN_PREFIX = HIDDEN_DIRECTORY + b"/"

DIRECTORY_KIND = stat.S_IFDIR >> 12
REGULAR_KIND = stat.S_IFREG >> 12
LINK_KIND = stat.S_IFLNK >> 12

OPEN_DIRECTORIES_MAX = 2048
"""Directory descriptors kept open for speed; beyond it the longest held one is dropped and opened again if needed."""


class Descriptor:
    """An open descriptor that closes when its last holder lets go.

    Handlers keep a reference while they use it, so dropping it from a node never pulls it away under a system call
    of another thread. CPython's reference counting makes the moment exact.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        try:
            os.close(self.fd)
        except OSError:
            pass  # a late error of close(2) has no reader; fsync has reported what matters


class OpenFile:
    """The descriptors of an open regular file, shared by all its openers, and what is not yet promised."""

    __slots__ = ("is_dirty", "reader", "readers", "sequence", "writer", "writers")

    def __init__(self) -> None:
        self.reader: Descriptor | None = None
        self.writer: Descriptor | None = None
        self.readers = 0
        self.writers = 0
        self.is_dirty = False
        """Data was written, or the file created, since its times were last recorded."""
        self.sequence = 0
        """Of the last data recorded."""


class Directory:
    """The descriptor of a directory, and the directory's facts that every creation in it needs."""

    __slots__ = ("descriptor", "has_default_acl", "listing", "position")

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.listing: Descriptor | None = None
        """A second descriptor, in the middle of a listing, and where it stands."""
        self.position = 0
        self.has_default_acl: bool | None = None


class Node:
    """One inode as the kernel knows it."""

    __slots__ = (
        "children",
        "directory",
        "excluded",
        "file",
        "id",
        "is_hidden",
        "is_restored",
        "key",
        "kind",
        "links",
        "lookups",
        "name",
        "parent",
        "path",
        "path_epoch",
        "slot",
    )

    def __init__(self, node_id: int, kind: int, key: int) -> None:
        self.id = node_id
        self.kind = kind
        self.key = key
        self.parent: Node | None = None
        self.name = b""
        self.slot = 0
        self.links: dict[tuple[int, bytes], tuple[Node, int]] | None = None
        self.children: dict[bytes, Node] | None = {} if kind == DIRECTORY_KIND else None
        self.lookups = 0
        self.path: bytes | None = None
        self.path_epoch = -1
        self.excluded = False
        self.is_hidden = False
        self.is_restored = False
        self.file: OpenFile | None = None
        self.directory: Directory | None = None


def kind_of(status: os.stat_result) -> int:
    """The file type as the four bits that d_type and our records use."""
    return status.st_mode >> 12


class NodeTable:
    """All nodes that the kernel may name."""

    def __init__(self, node_map: NodeMap, root_status: os.stat_result, exclude: Callable[[bytes], bool]) -> None:
        self._map = node_map
        self._lock = threading.RLock()
        self._exclude = exclude
        self._device = root_status.st_dev
        self._epoch = 0
        self._by_key: dict[int, Node] = {}
        self._open_directories: dict[int, Node] = {}
        self.root = Node(ROOT_ID, DIRECTORY_KIND, self.key_of(root_status))
        self.root.path = b""
        self.root.lookups = 1
        self._by_id: dict[int, Node] = {ROOT_ID: self.root}
        self._by_key[self.root.key] = self.root
        self._restore()

    def __len__(self) -> int:
        return len(self._by_id)

    def key_of(self, status: os.stat_result) -> int:
        """An inode's identity: its number, and its device when that is not the tree's."""
        if status.st_dev == self._device:
            return status.st_ino
        return status.st_ino | status.st_dev << 64

    # -- finding ----------------------------------------------------------------------------------------------

    def get(self, node_id: int) -> Node:
        """The node of an id; OSError(ESTALE) when we do not know it."""
        node = self._by_id.get(node_id)
        if node is None:
            raise OSError(errno.ESTALE, "unknown node")
        return node

    def child(self, parent: Node, name: bytes) -> Node | None:
        """The node known under a name, or None."""
        return parent.children.get(name) if parent.children is not None else None

    def walk(self, path: bytes) -> Node | None:
        """The node at a path, when every part of it is known."""
        node: Node | None = self.root
        for name in path.split(b"/") if path else ():
            node = self.child(node, name) if node is not None else None
        return node

    def everything(self) -> list[Node]:
        """All nodes now."""
        with self._lock:
            return list(self._by_id.values())

    def names_of(self, node: Node) -> list[tuple[Node, bytes]]:
        """All names of a node."""
        with self._lock:
            names = [(node.parent, node.name)] if node.parent is not None else []
            return names + [(parent, name) for (_, name), (parent, _) in (node.links or {}).items()]

    def location(self, node: Node) -> tuple[Node, bytes]:
        """A parent and a name to reach the node by; OSError(ESTALE) when it has none any more."""
        with self._lock:
            if node.parent is None:
                raise OSError(errno.ESTALE, "node has no name")
            return node.parent, node.name

    def path(self, node: Node) -> bytes | None:
        """The path for the replication stream: None when the node is nameless, hidden or excluded."""
        if node.path_epoch != self._epoch and node is not self.root:
            self._refresh(node)
        return None if node.excluded else node.path

    def child_path(self, parent: Node, name: bytes) -> bytes | None:
        """The path of a name in a directory, None when it is not replicated."""
        base = self.path(parent)
        if base is None:
            return None
        path = b"%s/%s" % (base, name) if base else name
        return None if self.is_excluded(path) else path

    def is_excluded(self, path: bytes) -> bool:
        """Excluded by configuration, or one of our hidden names."""
        return path == HIDDEN_DIRECTORY or path.startswith(HIDDEN_PREFIX) or self._exclude(path)

    def _refresh(self, node: Node) -> None:
        """Compute the path of a node and of those ancestors whose own is out of date."""
        with self._lock:
            stale = [node]
            while (above := stale[-1].parent) is not None and above.path_epoch != self._epoch:
                if above is self.root:
                    break
                stale.append(above)
            for each in reversed(stale):
                parent = each.parent
                each.path, each.excluded = None, False
                if parent is not None and not each.is_hidden:
                    each.excluded = parent.excluded
                    if parent.path is not None:
                        each.path = b"%s/%s" % (parent.path, each.name) if parent.path else each.name
                        each.excluded = parent.excluded or self.is_excluded(each.path)
                each.path_epoch = self._epoch

    # -- learning and forgetting ------------------------------------------------------------------------------

    def remember(self, parent: Node, name: bytes, status: os.stat_result) -> Node:
        """The node for what a name shows, one lookup more; made when new."""
        key, kind = self.key_of(status), status.st_mode >> 12
        with self._lock:
            children = _children(parent)
            node = children.get(name)
            if node is not None and (node.key != key or node.kind != kind):
                self._drop(parent, name)
                node = None
            if node is None:
                known = self._by_key.get(key) if kind != DIRECTORY_KIND and status.st_nlink > 1 else None
                if known is not None and known.kind == kind and not known.is_hidden:
                    node = known
                    node.lookups += 1
                    self._add_name(node, parent, name)
                else:
                    node = Node(self._map.take_id(), kind, key)
                    node.lookups = 1
                    self._by_id[node.id] = self._by_key[key] = node
                    self._add_name(node, parent, name)
                return node
            node.lookups += 1
            self._map.count(node.slot, node.lookups)
            return node

    def forget(self, node_id: int, count: int) -> Node | None:
        """The kernel lets go of `count` lookups; returns the node when it is gone for good."""
        with self._lock:
            node = self._by_id.get(node_id)
            if node is None or node is self.root:
                return None
            node.lookups = max(0, node.lookups - count)
            if node.slot:
                self._map.count(node.slot, node.lookups)
            return node if self._collect(node) else None

    def _collect(self, node: Node) -> bool:
        """Remove a node that nobody refers to, and then its ancestors that only waited for it."""
        if node.lookups or node.children or node is self.root:
            return False
        parents = {parent for parent, _ in self.names_of(node)}
        for parent, name in self.names_of(node):
            self._drop(parent, name, is_forgotten=True)
        self._by_id.pop(node.id, None)
        if self._by_key.get(node.key) is node:
            del self._by_key[node.key]
        self._open_directories.pop(node.id, None)
        node.directory = None
        node.file = None
        for parent in parents:
            self._collect(parent)
        self._compact()
        return True

    # -- names ------------------------------------------------------------------------------------------------

    def add_name(self, node: Node, parent: Node, name: bytes) -> None:
        """A hard link was made."""
        with self._lock:
            known = _children(parent).get(name)
            if known is not node:
                if known is not None:
                    self._drop(parent, name)
                self._add_name(node, parent, name)

    def count_lookup(self, node: Node) -> None:
        """The kernel was told of a node once more."""
        with self._lock:
            node.lookups += 1
            if node.slot:
                self._map.count(node.slot, node.lookups)

    def drop_name(self, parent: Node, name: bytes) -> Node | None:
        """A name was removed; returns the node that had it."""
        with self._lock:
            return self._drop(parent, name)

    def hide(self, node: Node, name: bytes) -> None:
        """A deleted file lives on under a hidden name in the top directory; it may have been hidden before."""
        with self._lock:
            others = [place for place in self.names_of(node) if place != (self.root, name)]
            node.is_hidden = True
            if self._by_key.get(node.key) is node:
                del self._by_key[node.key]
            if self.child(self.root, name) is not node:
                self._add_name(node, self.root, name)
            for parent, known_name in others:
                self._drop(parent, known_name)

    def move(self, parent: Node, name: bytes, target_parent: Node, target_name: bytes) -> None:
        """A name was renamed, replacing what was there."""
        with self._lock:
            node = _children(parent).get(name)
            if node is None:
                self._drop(target_parent, target_name)
                return
            known = _children(target_parent).get(target_name)
            if known is node:
                self._drop(parent, name)
                return
            if known is not None:
                self._drop(target_parent, target_name)
            self._add_name(node, target_parent, target_name)
            self._drop(parent, name)
            if node.kind == DIRECTORY_KIND:
                self._epoch += 1

    def exchange(self, parent: Node, name: bytes, target_parent: Node, target_name: bytes) -> None:
        """Two names changed places; both new records count at once, before the old ones are cleared."""
        with self._lock:
            here, there = (parent, name), (target_parent, target_name)
            both = [(self.child(*here), *there), (self.child(*there), *here)]
            stored = [(node, at, to, self._store(node, at, to)) for node, at, to in both if node is not None]
            self._map.publish()
            self._drop(*here)
            self._drop(*there)
            for node, at, to, slot in stored:
                self._attach(node, at, to, slot)
            self._epoch += 1

    def _add_name(self, node: Node, parent: Node, name: bytes) -> None:
        slot = self._store(node, parent, name)
        self._map.publish()
        self._attach(node, parent, name, slot)

    def _store(self, node: Node, parent: Node, name: bytes) -> int:
        return self._map.add(
            node.kind,
            node.id,
            parent.id,
            node.key & 0xFFFFFFFFFFFFFFFF,
            node.key >> 64,
            node.lookups,
            name,
        )

    def _attach(self, node: Node, parent: Node, name: bytes, slot: int) -> None:
        _children(parent)[name] = node
        if not node.is_hidden:
            self._by_key.setdefault(node.key, node)
        if node.parent is None:
            node.parent, node.name, node.slot = parent, name, slot
            node.path_epoch = -1
            self._map.count(slot, node.lookups)
        else:
            if node.links is None:
                node.links = {}
            node.links[(parent.id, name)] = (parent, slot)

    def _drop(self, parent: Node, name: bytes, *, is_forgotten: bool = False) -> Node | None:
        children = _children(parent)
        node = children.pop(name, None)
        if node is None:
            return None
        if node.parent is parent and node.name == name:
            self._map.remove(node.slot)
            node.parent, node.name, node.slot, node.path_epoch = None, b"", 0, -1
            if node.links:
                (_, other), (other_parent, slot) = node.links.popitem()
                node.parent, node.name, node.slot = other_parent, other, slot
                self._map.count(slot, node.lookups)
            elif not is_forgotten and self._by_key.get(node.key) is node:
                del self._by_key[node.key]
        elif node.links is not None:
            _, slot = node.links.pop((parent.id, name))
            self._map.remove(slot)
        return node

    # -- descriptors ------------------------------------------------------------------------------------------

    def keep_directory(self, node: Node, directory: Directory) -> Directory:
        """Keep a directory's descriptor for later, within the limit; another thread may have been faster."""
        with self._lock:
            if node.directory is None:
                node.directory = directory
                self._open_directories[node.id] = node
                if len(self._open_directories) > OPEN_DIRECTORIES_MAX:
                    oldest = next(iter(self._open_directories))
                    self._open_directories.pop(oldest).directory = None
            return node.directory

    def open_file(self, node: Node) -> OpenFile:
        """The node's open state, made when missing."""
        with self._lock:
            if node.file is None:
                node.file = OpenFile()
                # What the worker before us wrote is not known to be settled.
                node.file.is_dirty = node.is_restored
            return node.file

    # -- continuing after another worker ----------------------------------------------------------------------

    def _restore(self) -> None:
        stored = list(self._map.load())
        for record in stored:
            known = self._by_id.get(record.node_id)
            if known is None:
                key = record.inode | record.device << 64
                known = Node(record.node_id, record.kind, key)
                known.is_restored = True
                self._by_id[known.id] = self._by_key[key] = known
            known.lookups = max(known.lookups, record.lookups)
        for record in stored:
            self._restore_name(record)

    def _restore_name(self, record: StoredName) -> None:
        node = self._by_id[record.node_id]
        parent = self._by_id.get(record.parent_id)
        if parent is None or parent.children is None:
            self._map.remove(record.slot)
            return
        if record.name in parent.children:
            self._drop(parent, record.name)
        self._attach(node, parent, record.name, record.slot)
        if parent is self.root and record.name.startswith(HIDDEN_PREFIX):
            node.is_hidden = True
            self._by_key.pop(node.key, None)

    def _compact(self) -> None:
        if not self._map.is_wasteful:
            return
        moved = self._map.compact()
        for node in self._by_id.values():
            node.slot = moved.get(node.slot, 0)
            for place, (parent, slot) in (node.links or {}).items():
                _links(node)[place] = (parent, moved[slot])

    def close(self) -> None:
        """Let go of every descriptor and of the map."""
        with self._lock:
            for node in self._by_id.values():
                node.directory = node.file = None
            self._open_directories.clear()
            self._map.close()


def _children(node: Node) -> dict[bytes, Node]:
    if node.children is None:
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return node.children


def _links(node: Node) -> dict[tuple[int, bytes], tuple[Node, int]]:
    return node.links if node.links is not None else {}
