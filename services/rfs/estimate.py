"""How much a resync would copy, found on the primary alone: from its change journal, and by looking at its own files.

It is an upper bound for what this copy has changed: blocks that turn out to be equal are compared and not copied.
What the other copy has changed is not known here. Nothing waits for it: it holds descriptors of its own, takes no
lock for longer than the change journal's background work does, and pauses often.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from holdfast.errors import RefusedError

from services.rfs import beneath, rows
from services.rfs.changes import ChangeJournal
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.paths import Change, Extent, PathSet, ancestors
from services.rfs.nodes import Descriptor
from services.rfs.ports import Tree

NAMES_PER_PAUSE = 256
PAUSE_S = 0.001
"""A short pause every so many names leaves the interpreter to the applications' requests."""
LINKED_MAX = 1_000_000
"""Files with several names that are remembered, so that each counts once (about 100 MB); more count by each name."""
BLOCK_BYTES = 512
"""Unit of st_blocks (stat(2))."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(slots=True)
class Estimate:
    """files, bytes: of regular files that are copied at most, as far as they are known to differ. names: names whose
    metadata are compared with the other copy's, because what differs among them is not known. kind: difference |
    compare | full."""

    kind: str
    files: int = 0
    bytes: int = 0
    names: int = 0


@dataclass(frozen=True, slots=True)
class _Root:
    """One replicated directory, with a descriptor that lives as long as the estimate."""

    index: int
    descriptor: Descriptor
    is_excluded: Callable[[bytes], bool]

    @property
    def fd(self) -> int:
        return self.descriptor.fd


class Estimation:
    """One estimate. Made where the directories are opened and closed; `run` once, in any thread; `stop` in any."""

    def __init__(self, trees: Sequence[Tree], journal: ChangeJournal, *, full: bool) -> None:
        self._roots = [_Root(tree.index, Descriptor(os.dup(tree.root_fd)), tree.is_excluded) for tree in trees]
        self._journal = journal
        self._stopping = threading.Event()
        self.is_over = False
        self._linked: set[tuple[int, int]] = set()
        self._seen = 0
        contents = full or not journal.last_session
        self._result = Estimate("full" if contents else "compare" if journal.rebooted else "difference")

    def run(self) -> Estimate:
        """Look at what the journal names; raise RefusedError when the directories are closed meanwhile, or OSError."""
        try:
            self._count()
        finally:
            self.is_over = True
            self._roots.clear()
        return self._result

    def stop(self) -> None:
        """Have `run` end soon."""
        self._stopping.set()

    def _count(self) -> None:
        if self._result.kind == "full":
            for root in self._roots:
                self._count_below(root, b"", Extent.SUBTREE_FULL)
            return
        changed = self._journal.entries()
        subtrees = {(tree, path): extent for tree, path, extent in changed.subtrees()}
        if self._result.kind == "compare":
            subtrees.update({(root.index, b""): Extent.SUBTREE for root in self._roots})
        walked: set[tuple[int, bytes]] = set()
        for tree, path in changed.paths():
            if not _is_within(walked, tree, path):
                self._count_path(self._roots[tree], path, changed, walked)
        for (tree, path), extent in sorted(subtrees.items()):
            if not _is_within(walked, tree, path) and (tree, path) not in walked:
                self._count_below(self._roots[tree], path, extent, skip=walked)
                if extent is not Extent.LISTING:
                    walked.add((tree, path))

    def _count_path(self, root: _Root, path: bytes, changed: PathSet, walked: set[tuple[int, bytes]]) -> None:
        """Count one path that the journal names; what is below a directory that may be new counts whole."""
        self._breathe()
        found = _status(root, path)
        change = changed.change(root.index, path)
        if found is None or change is None or root.is_excluded(path):
            return
        if stat.S_ISREG(found.st_mode):
            self._add(found, change)
        elif stat.S_ISDIR(found.st_mode) and change.zones is None and path:
            walked.add((root.index, path))
            self._count_below(root, path, Extent.SUBTREE_FULL)

    def _count_below(
        self, root: _Root, top: bytes, extent: Extent, *, skip: Collection[tuple[int, bytes]] = ()
    ) -> None:
        """Count the names below a directory as far as `extent` reaches: as names to be compared, or contents too."""
        for _, found in self._walk(root, top, skip, deep=extent is not Extent.LISTING):
            if extent is not Extent.SUBTREE_FULL:
                self._result.names += 1
            elif stat.S_ISREG(found.st_mode):
                self._add(found, Change(None))

    def _walk(
        self, root: _Root, top: bytes, skip: Collection[tuple[int, bytes]], *, deep: bool
    ) -> Iterator[tuple[bytes, os.stat_result]]:
        stack = [top]
        while stack:
            directory = stack.pop()
            try:
                fd = beneath.open_beneath(root.fd, directory, beneath.DIRECTORY_FLAGS)
            except OSError as error:
                if error.errno in _GONE:
                    continue
                raise
            try:
                with os.scandir(fd) as names:
                    for name in names:
                        self._breathe()
                        path = rows.join(directory, os.fsencode(name.name))
                        if root.is_excluded(path) or (root.index, path) in skip:
                            continue
                        try:
                            found = name.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        yield path, found
                        if deep and stat.S_ISDIR(found.st_mode):
                            stack.append(path)
            finally:
                os.close(fd)

    def _add(self, found: os.stat_result, change: Change) -> None:
        """Count a regular file once, whatever its names; holes are not copied."""
        if found.st_nlink > 1:
            inode = (found.st_dev, found.st_ino)
            if inode in self._linked:
                return
            if len(self._linked) < LINKED_MAX:
                self._linked.add(inode)
        stored = min(found.st_size, found.st_blocks * BLOCK_BYTES) if found.st_blocks else found.st_size
        changed = found.st_size if change.zones is None else _bytes_in(change.zones, found.st_size)
        if changed or change.zones is None:
            self._result.files += 1
            self._result.bytes += min(changed, stored)

    def _breathe(self) -> None:
        self._seen += 1
        if self._seen % NAMES_PER_PAUSE == 0 and self._stopping.wait(PAUSE_S):
            raise RefusedError("the replicated directories are closed meanwhile", hint="ask again when the module runs")


def _is_within(walked: set[tuple[int, bytes]], tree: int, path: bytes) -> bool:
    return any((tree, above) in walked for above in ancestors(path))


def _status(root: _Root, path: bytes) -> os.stat_result | None:
    """What is at a path, None when nothing is there any more."""
    try:
        fd = beneath.open_beneath(root.fd, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _bytes_in(zones: set[int], size: int) -> int:
    """How many bytes of a file of that size lie in the zones."""
    return sum(max(0, min(ZONE_BYTES, size - zone * ZONE_BYTES)) for zone in zones)
