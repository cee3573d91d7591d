"""The search of a resync for what differs, by metadata, in one directory after another."""

from __future__ import annotations

from services.rfs import census, rows
from services.rfs.core.census import Census
from services.rfs.core.paths import Entry, Extent
from services.rfs.core.rows import Row, attributes_equal
from services.rfs.ports import Tree

FOUND_MAX = 50_000
"""Differing paths found by comparing before they are made equal; what was not compared by then is left for later."""

Firsts = tuple[dict[int, bytes], dict[int, bytes]]
"""Under which name each file with several names was first met, by inode, here and there."""


class Search:
    """One search at `top` and below it. `found` says what is pending afterwards, whether all was looked at or not.

    The secondary's directories are given to `count` or `compare` in the order of their walk; then what `next_differing`
    names is to be compared as well.
    """

    def __init__(self, tree: Tree, top: bytes, extent: Extent, firsts: Firsts) -> None:
        self._tree = tree
        self._extent = extent
        self._firsts = firsts
        self._entries = [Entry(tree=tree.index, path=top, extent=Extent.WHOLE if top else Extent.ATTRIBUTES)]
        self._unseen: set[bytes] = set()
        """Directories that both sides have and nobody has looked into."""
        self._differing: list[bytes] = []
        self.compared = 0
        """Names on both sides whose metadata were compared."""

    def count(self, theirs: Census) -> None:
        """Compare a directory by its digest, or by the rows that came in its place. Only in `census.own_directory`."""
        directory = theirs.directory
        if theirs.rows is not None:
            self.compare(directory, theirs.rows)
            return
        if self._is_full:
            return
        ours = census.take(self._tree.root_fd, directory, self._tree.is_excluded)
        self._unseen.discard(directory)
        if ours is None:
            return
        if ours.digest == theirs.digest:
            self.compared += ours.names
        else:
            self._differing.append(directory)
        self._unseen.update(rows.join(directory, name) for name in ours.below)

    def next_differing(self) -> bytes | None:
        """The next directory with a digest that differs, to be compared name by name; None when there is none."""
        if self._is_full:
            self._unseen.update(self._differing)
            self._differing.clear()
        return self._differing.pop() if self._differing else None

    def compare(self, directory: bytes, theirs: list[Row]) -> None:
        """Compare a directory name by name, in the order of the walk."""
        if self._is_full:
            return
        self._unseen.discard(directory)
        self._unseen.update(self._pair_off(directory, theirs))

    def compare_differing(self, directory: bytes, theirs: list[Row]) -> None:
        """Compare a directory that `next_differing` has named; the walk has been through those in it."""
        self._pair_off(directory, theirs)

    def _pair_off(self, directory: bytes, theirs: list[Row]) -> list[bytes]:
        """Find what differs among the names of a directory; return the directories that both sides have in it."""
        ours = rows.rows_in(self._tree.root_fd, directory, self._tree.is_excluded)
        both: list[bytes] = []
        for path, one, other in _paired(directory, ours, theirs) if ours is not None else ():
            self.compared += one is not None and other is not None
            contents = self._extent is Extent.SUBTREE_FULL and one is not None and one.is_regular
            if contents or self._differs(path, one, other):
                self._entries.append(Entry(tree=self._tree.index, path=path, extent=Extent.WHOLE))
            if one is None or not one.is_directory:
                continue
            if other is not None and other.is_directory:
                both.append(path)
            else:
                self._unseen.discard(path)
        return both

    def found(self) -> list[Entry]:
        """What differs, and what nobody has looked into."""
        if self._extent is Extent.LISTING:
            return self._entries
        index = self._tree.index
        return self._entries + [Entry(tree=index, path=path, extent=self._extent) for path in self._unseen]

    @property
    def _is_full(self) -> bool:
        """True when so much was found that it is to be made equal first."""
        return len(self._entries) > FOUND_MAX

    def _differs(self, path: bytes, one: Row | None, other: Row | None) -> bool:
        """True when the rows differ, or when their files were first met under different names."""
        if one is None or other is None or not attributes_equal(one, other):
            return True
        if one.links < 2 or one.is_directory:
            return False
        here, there = self._firsts
        return here.setdefault(one.inode, path) != there.setdefault(other.inode, path)


def _paired(directory: bytes, ours: list[Row], theirs: list[Row]) -> list[tuple[bytes, Row | None, Row | None]]:
    """Rows of the same name side by side."""
    by_name = {row.name: row for row in theirs}
    pairs: list[tuple[bytes, Row | None, Row | None]] = [
        (rows.join(directory, row.name), row, by_name.pop(row.name, None)) for row in ours
    ]
    pairs += [(rows.join(directory, row.name), None, row) for row in by_name.values()]
    return pairs
