"""Which operations must stay out of the stream during a resync, because their ground is not equal yet. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from services.rfs.core import operations as ops
from services.rfs.core.operations import Operation
from services.rfs.core.paths import Change, Entry, Extent, PathSet, data_entries

PENDING_MAX = 1_000_000
"""Both journals, what one comparison finds at a time, and what applications change meanwhile; about 300 bytes each."""
IsDirectory = Callable[[int, bytes], bool]


class Pending:
    """What is still to be made equal. Every call is made under `order`.

    A path is *pending* (its operations are not streamed, they widen what has to be copied), or *equalising* (it is
    streamed, and its old blocks are being copied through the same stream), or equal. A name that goes away or changes
    its meaning takes its path out of *equalising* back to *pending*; whoever copies it sees that and stops.
    """

    def __init__(self, entries: Iterator[Entry], is_directory: IsDirectory) -> None:
        self.set = PathSet(limit=PENDING_MAX)
        self.set.update(entries)
        self._is_directory = is_directory
        self._equalising: set[tuple[int, bytes]] = set()
        self._examined: dict[tuple[int, bytes], Change] = {}

    @property
    def is_empty(self) -> bool:
        return not len(self.set) and not self._equalising

    def withholds(self, operation: Operation) -> bool:
        """True when the operation must not be streamed; what it touches is then pending."""
        if type(operation) is ops.Synchronise:
            return not operation.whole and self.set.covers(operation.tree, operation.path)
        names = _names(operation)
        tree = operation.tree
        if not any(self.set.covers(tree, path) for path in names) and not self._disturbs(operation, names):
            return False
        for entry in _entries(operation, names):
            self.set.add(entry)
        if type(operation) is ops.Rename and self._is_directory(tree, operation.target):
            for path in names:
                self.set.add(Entry(tree=tree, path=path, extent=Extent.SUBTREE_FULL))
        return True

    def examine(self, tree: int, path: bytes) -> Change | None:
        """Take note that `path` is being looked at: from here on its change collects only what happens meanwhile."""
        change = self.set.change(tree, path)
        if change is None:
            return None
        known = self._examined.get((tree, path))
        if known is not None:
            change = _both(change, known)
        self._examined[(tree, path)] = change
        self.set.discard(tree, path)
        self.set.add(Entry(tree=tree, path=path, extent=Extent.ATTRIBUTES))
        return change

    def admit(self, tree: int, path: bytes) -> Change | None:
        """`path` is streamed from here on; return what happened to it since `examine`, None when it is not pending."""
        change = self.set.change(tree, path)
        if change is None:
            return None
        self.set.discard(tree, path)
        self._equalising.add((tree, path))
        return change

    def is_equalising(self, tree: int, path: bytes) -> bool:
        return (tree, path) in self._equalising

    def done(self, tree: int, path: bytes) -> None:
        """`path` is equal now."""
        self._equalising.discard((tree, path))
        self._examined.pop((tree, path), None)

    def equal(self, tree: int, path: bytes) -> None:
        """`path` was made equal by one operation (a directory, a link, a removal)."""
        self.set.discard(tree, path)
        self.done(tree, path)

    def remaining(self) -> list[Entry]:
        """Everything that a new resync would have to look at, were this one to end now."""
        entries = list(self.set.entries())
        for (tree, path), change in self._examined.items():
            entries += _change_entries(tree, path, change)
        entries += [Entry(tree=tree, path=path, extent=Extent.WHOLE) for tree, path in self._equalising]
        return entries

    def _disturbs(self, operation: Operation, names: tuple[bytes, ...]) -> bool:
        """True when a name that others rely on goes away under them."""
        tree = operation.tree
        match operation:
            case ops.Rename() | ops.Unlink() | ops.RemoveDirectory():
                pass
            case _:
                return False
        found = [path for path in names if (tree, path) in self._equalising]
        for path in found:
            self._equalising.discard((tree, path))
        if found:
            return True
        if type(operation) is ops.Unlink:
            return False
        if type(operation) is ops.Rename and not self._is_directory(tree, operation.target):
            return False
        return any(self.set.holds_below(tree, path) or self._equalises_below(tree, path) for path in names)

    def _equalises_below(self, tree: int, path: bytes) -> bool:
        prefix = path + b"/"
        below = [key for key in self._equalising if key[0] == tree and key[1].startswith(prefix)]
        self._equalising.difference_update(below)
        return bool(below)


def _names(operation: Operation) -> tuple[bytes, ...]:
    match operation:
        case ops.Rename():
            return operation.path, operation.target
        case ops.MakeLink():
            return operation.path, operation.source
        case _:
            return (operation.path,)


def _entries(operation: Operation, names: tuple[bytes, ...]) -> Iterator[Entry]:
    tree = operation.tree
    match operation:
        case ops.Write():
            yield from data_entries(tree, operation.path, operation.offset, len(operation.data))
        case ops.Allocate() if not operation.is_shift:
            yield from data_entries(tree, operation.path, operation.offset, operation.length)
        case ops.SetMode() | ops.SetOwner() | ops.SetTimes() | ops.SetAttribute() | ops.RemoveAttribute():
            yield Entry(tree=tree, path=operation.path, extent=Extent.ATTRIBUTES)
        case _:
            for path in names:
                yield Entry(tree=tree, path=path, extent=Extent.WHOLE)
                if path:
                    cut = path.rfind(b"/")
                    parent = path[:cut] if cut > 0 else b""
                    yield Entry(tree=tree, path=parent, extent=Extent.ATTRIBUTES)


def _both(one: Change, other: Change) -> Change:
    if one.zones is None or other.zones is None:
        return Change(None)
    return Change(one.zones | other.zones)


def _change_entries(tree: int, path: bytes, change: Change) -> Iterator[Entry]:
    if change.zones is None:
        yield Entry(tree=tree, path=path, extent=Extent.WHOLE)
        return
    yield Entry(tree=tree, path=path, extent=Extent.ATTRIBUTES)
    for zone in change.zones:
        yield Entry(tree=tree, path=path, extent=Extent.ZONE, zone=zone)
