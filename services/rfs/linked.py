"""Files with several names during a resync: one of them, the leader, has its contents copied for all."""

from __future__ import annotations

from collections.abc import Sequence

from services.rfs import rows
from services.rfs.asking import Asking
from services.rfs.core.paths import Change, Entry, Extent
from services.rfs.core.pending import Pending
from services.rfs.core.rows import Row
from services.rfs.ports import Tree


class LinkedFiles:
    """Belongs to one resync. `leader_of` and `hand_over` are called under `order`, the others without."""

    def __init__(self, trees: Sequence[Tree], asking: Asking) -> None:
        self._trees = trees
        self._asking = asking
        self._leaders: dict[tuple[int, int], bytes] = {}
        self._names: dict[int, dict[int, list[bytes]]] = {}

    def learn(self, tree: int, row: Row | None) -> None:
        """Have the names of a tree's linked files at hand before `order` is taken, when `row` is one of them.

        One walk, for the first such file. Names that are made later are pending, or are streamed: the operation that
        makes one names the file by a name that it has.
        """
        if tree in self._names or row is None or not row.is_regular or row.links < 2:
            return
        names: dict[int, list[bytes]] = {}
        port = self._trees[tree]
        for directory, found in rows.walk(port.root_fd, b"", port.is_excluded):
            for one in found:
                if one.is_regular and one.links > 1:
                    names.setdefault(one.inode, []).append(rows.join(directory, one.name))
        self._names[tree] = names

    def leader_of(self, pending: Pending, tree: int, path: bytes, ours: Row) -> bytes:
        """The name whose contents are copied for all names of a file: `path` itself when it has no other.

        Whoever becomes leader has all other names looked at too, so that they become its links.
        """
        if ours.links < 2:
            return path
        key = (tree, ours.inode)
        leader = self._leaders.get(key, path)
        if leader != path:
            there = rows.row_at(self._trees[tree].root_fd, leader)
            if there is not None and there.inode == ours.inode:
                return leader
        self._leaders[key] = path
        for name in self._names.get(tree, {}).get(ours.inode, ()):
            if name != path:
                pending.set.add(Entry(tree=tree, path=name, extent=Extent.ATTRIBUTES))
        return path

    def hand_over(self, pending: Pending, tree: int, path: bytes, leader: bytes) -> bool:
        """Make what may differ in the contents at `path` the leader's to copy; False when there is nothing of it."""
        change = pending.set.change(tree, path)
        if change is None or (change.zones is not None and not change.zones):
            return False
        pending.set.discard(tree, path)
        pending.set.add(Entry(tree=tree, path=path, extent=Extent.ATTRIBUTES))
        for entry in _entries(tree, leader, change):
            pending.set.add(entry)
        return True

    def is_shared_otherwise(self, tree: int, path: bytes, theirs: Row | None) -> bool:
        """True when the secondary's file at `path` has names that it has not here.

        Writing to it would change what those names show, and writing to those names would change it: it needs a file
        of its own.
        """
        if theirs is None or not theirs.is_regular or theirs.links < 2:
            return False
        ours = rows.row_at(self._trees[tree].root_fd, path)
        self.learn(tree, ours)
        names = self._names.get(tree, {}).get(ours.inode, []) if ours is not None else []
        if ours is None or not ours.links == theirs.links == len(names):
            return True
        found = self._asking.rows(tree, names)
        return any(row is None or row.inode != theirs.inode for row in found)


def _entries(tree: int, path: bytes, change: Change) -> list[Entry]:
    if change.zones is None:
        return [Entry(tree=tree, path=path, extent=Extent.WHOLE)]
    return [Entry(tree=tree, path=path, extent=Extent.ZONE, zone=zone) for zone in change.zones]
