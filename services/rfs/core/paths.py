"""Sets of changed paths: whole files, single zones, attributes, whole subtrees. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from services.rfs.core.limits import JOURNAL_ENTRIES_MAX, ZONE_BYTES, ZONES_PER_CHANGE_MAX


class Extent(IntEnum):
    """How much of a path may differ. Values are on disk and on the wire."""

    ATTRIBUTES = 1
    """Type, mode, owner, times, extended attributes, size: not the bytes."""
    ZONE = 2
    """Attributes and one zone of ZONE_BYTES."""
    WHOLE = 3
    """Everything about this path; nothing below it."""
    SUBTREE = 4
    """Everything about this path and below it; contents are trusted where the metadata are equal."""
    SUBTREE_FULL = 5
    """As SUBTREE, but contents are compared by block hashes even where the metadata are equal."""
    LISTING = 6
    """Everything about this directory and which names it holds, with their metadata; nothing further below."""


_REACH = {Extent.LISTING: 0, Extent.SUBTREE: 1, Extent.SUBTREE_FULL: 2}
"""The extents of whole directories; a larger reach swallows a smaller one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One noted change. `zone` counts only for Extent.ZONE."""

    tree: int
    path: bytes
    extent: Extent
    zone: int = 0


@dataclass(slots=True)
class Change:
    """What of one path may differ: `zones` is None when all its contents may."""

    zones: set[int] | None


def zones_of(offset: int, length: int) -> range:
    """The zones that bytes [offset, offset+length) touch."""
    return range(offset // ZONE_BYTES, (offset + max(length, 1) - 1) // ZONE_BYTES + 1)


def data_entries(tree: int, path: bytes, offset: int, length: int) -> Iterator[Entry]:
    """Entries for a change of bytes: zones, or the whole file when they are many."""
    zones = zones_of(offset, length)
    if len(zones) > ZONES_PER_CHANGE_MAX:
        yield Entry(tree=tree, path=path, extent=Extent.WHOLE)
        return
    for zone in zones:
        yield Entry(tree=tree, path=path, extent=Extent.ZONE, zone=zone)


def ancestors(path: bytes) -> Iterator[bytes]:
    """`path`'s proper ancestors, nearest first, ending with the tree's root (the empty path)."""
    while path:
        cut = path.rfind(b"/")
        path = path[:cut] if cut > 0 else b""
        yield path


def is_below(path: bytes, prefix: bytes) -> bool:
    """True when `path` is `prefix` or something below it."""
    return not prefix or path == prefix or path.startswith(prefix + b"/")


class PathSet:
    """Paths that may differ. Not thread-safe. Grows to `limit` entries, then gives up detail for the tree concerned."""

    def __init__(self, *, limit: int = JOURNAL_ENTRIES_MAX) -> None:
        self._limit = limit
        self._changes: dict[tuple[int, bytes], Change] = {}
        self._subtrees: dict[tuple[int, bytes], Extent] = {}
        self._zones = 0

    def __len__(self) -> int:
        return len(self._changes) + len(self._subtrees)

    def add(self, entry: Entry) -> None:
        """Take in one entry; a larger extent swallows a smaller one of the same path."""
        key = (entry.tree, entry.path)
        match entry.extent:
            case Extent.LISTING | Extent.SUBTREE | Extent.SUBTREE_FULL:
                known = self._subtrees.get(key)
                if known is None or _REACH[entry.extent] > _REACH[known]:
                    self._subtrees[key] = entry.extent
            case Extent.WHOLE:
                self._changes[key] = Change(None)
            case Extent.ZONE | Extent.ATTRIBUTES:
                change = self._changes.setdefault(key, Change(set()))
                if entry.extent is Extent.ZONE and change.zones is not None:
                    change.zones.add(entry.zone)
                    self._zones += 1
        if len(self._changes) + self._zones > self._limit:
            self._collapse(entry.tree)

    def update(self, entries: Iterator[Entry]) -> None:
        for entry in entries:
            self.add(entry)

    def discard(self, tree: int, path: bytes) -> None:
        self._changes.pop((tree, path), None)

    def discard_subtree(self, tree: int, path: bytes, extent: Extent = Extent.SUBTREE_FULL) -> None:
        """Take out what was compared to the reach of `extent`; a larger reach that was added meanwhile stays."""
        known = self._subtrees.get((tree, path))
        if known is not None and _REACH[known] <= _REACH[extent]:
            del self._subtrees[(tree, path)]

    def change(self, tree: int, path: bytes) -> Change | None:
        return self._changes.get((tree, path))

    def covers(self, tree: int, path: bytes) -> bool:
        """True when `path` is in the set, or is below something that may not be there on the other side."""
        if not self._changes and not self._subtrees:
            return False
        if (tree, path) in self._changes or (tree, path) in self._subtrees:
            return True
        return any(self._may_be_missing(tree, above) for above in ancestors(path))

    def _may_be_missing(self, tree: int, path: bytes) -> bool:
        change = self._changes.get((tree, path))
        return (change is not None and change.zones is None) or (tree, path) in self._subtrees

    def holds_below(self, tree: int, path: bytes) -> bool:
        """True when something at or below `path` is in the set."""
        return any(
            key_tree == tree and is_below(key_path, path)
            for keys in (self._changes, self._subtrees)
            for key_tree, key_path in keys
        )

    def paths(self) -> list[tuple[int, bytes]]:
        """All single paths, parents before what is below them."""
        return sorted(self._changes)

    def subtrees(self) -> list[tuple[int, bytes, Extent]]:
        """All directories to be compared, with how far, parents first."""
        return sorted((tree, path, extent) for (tree, path), extent in self._subtrees.items())

    def entries(self) -> Iterator[Entry]:
        """The set as entries; adding them to an empty set gives an equal one."""
        for (tree, path), extent in list(self._subtrees.items()):
            yield Entry(tree=tree, path=path, extent=extent)
        for (tree, path), change in list(self._changes.items()):
            if change.zones is None:
                yield Entry(tree=tree, path=path, extent=Extent.WHOLE)
            elif not change.zones:
                yield Entry(tree=tree, path=path, extent=Extent.ATTRIBUTES)
            else:
                for zone in sorted(change.zones):
                    yield Entry(tree=tree, path=path, extent=Extent.ZONE, zone=zone)

    def _collapse(self, tree: int) -> None:
        """Too many entries: the tree is compared as a whole instead."""
        is_full = any(key[0] == tree and kind is Extent.SUBTREE_FULL for key, kind in self._subtrees.items())
        self._changes = {key: change for key, change in self._changes.items() if key[0] != tree}
        self._subtrees = {key: extent for key, extent in self._subtrees.items() if key[0] != tree}
        self._subtrees[(tree, b"")] = Extent.SUBTREE_FULL if is_full else Extent.SUBTREE
        self._zones = sum(len(change.zones) for change in self._changes.values() if change.zones)
