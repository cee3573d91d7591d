"""Resync, driven by the primary: make the secondary's copy equal while applications work.

What may differ is known from both change journals, or found by comparing; it is *pending*. A pending path is looked at
without hindering anybody, then admitted to the stream, and its differing blocks follow through the same stream, each
read and recorded under `order`; so live writes and copied blocks have one order. Rounds repeat until all is equal.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from holdfast.clock import Clock
from holdfast.errors import UnavailableError

from services.rfs import beneath, census, rows
from services.rfs.asking import Asking
from services.rfs.comparing import FOUND_MAX, Search
from services.rfs.core import operations as ops
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.markers import Equalise, Remove
from services.rfs.core.paths import Change, Entry, Extent
from services.rfs.core.pending import Pending
from services.rfs.core.rows import Row, attributes_equal
from services.rfs.engine import Engine
from services.rfs.linked import LinkedFiles
from services.rfs.ports import Tree
from services.rfs.throttle import Throttle

log = logging.getLogger("holdfast.rfs.resync")

ROWS_PER_REQUEST = 1000
PIECE_BYTES = 256 << 10
"""Copied under one hold of `order` in files of more than one zone: an application's operation waits for this."""
AHEAD_BYTES = 8 << 20
"""Copied bytes under way beyond what is applied: keeps the link busy and leaves the window to the applications."""
CONNECT_S = 10.0
_PUNCH_HOLE = 3
"""FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE of linux/falloc.h."""
_ZEROS = bytes(PIECE_BYTES)
_ROUND_PAUSE_S = 0.01
PATIENT_ROUNDS = 8
"""After as many rounds applications change as fast as we copy: the rest, if small, is copied while they wait."""
HELD_PATHS_MAX = 500
HELD_BYTES_MAX = 32 << 20
"""Limits of what is copied while applications wait: some tenths of a second."""
HELD_ROUNDS = 3
"""A name of a file with several is looked at, then the contents under the leading name, then the name again."""


@dataclass(slots=True)
class Counts:
    """Progress. Totals grow while more is found; bytes count what was looked at or copied."""

    kind: str = "difference"
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_sent: int = 0
    entries: int = 0
    """Paths that the journals named at the beginning."""
    compared: int = 0
    """Names on both sides whose metadata were compared because a whole directory was."""
    bytes_compared: int = 0
    started_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How a resync begins.

    compare: also compare whole trees; contents: by block hashes even where metadata agree; census: the secondary can
    tell a whole directory by one digest.
    """

    journals: bool
    compare: bool
    contents: bool
    census: bool = False

    @property
    def kind(self) -> str:
        if self.contents:
            return "full"
        return "compare" if self.compare else "difference"


class Resync:
    """One resync of one session. `run` blocks; it raises UnavailableError or PeerError when the link ends."""

    def __init__(
        self,
        engine: Engine,
        trees: Sequence[Tree],
        asking: Asking,
        *,
        plan: Plan,
        readers: int,
        throttle: Throttle,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._trees = trees
        self._asking = asking
        self._plan = plan
        self._readers = readers
        self._throttle = throttle
        self._clock = clock
        self._changed = changed
        self._pending: Pending | None = None
        self._ended = threading.Event()
        self._directories: set[tuple[int, bytes]] = set()
        self._linked = LinkedFiles(trees, asking)
        self._firsts: dict[int, tuple[dict[int, bytes], dict[int, bytes]]] = {}
        """Under which name each file with several names was first met, here and there, by tree."""
        self.counts = Counts(kind=plan.kind, started_ns=clock.mono_ns())

    def end(self) -> None:
        """Have `run` raise soon."""
        self._ended.set()

    def remaining(self) -> list[Entry]:
        """What a new resync would have to look at; `order` is held."""
        return [] if self._pending is None else self._pending.remaining()

    def run(self) -> None:
        """Return when both copies are equal and every operation is streamed."""
        entries = self._starting_entries()
        journal = self._engine.journal
        before = journal.rotate()
        entries += list(journal.entries().entries())
        with self._engine.order:
            # Only what the applications changed since the rotation is read while they wait.
            entries += list(journal.entries(after=before).entries())
            self._pending = Pending(iter(entries), self._is_directory)
            self._engine.start_stream(self._pending)
        self.counts.entries = len(self._pending.set)
        log.info("resync begins: %s, %d entries", self._plan.kind, self.counts.entries)
        with ThreadPoolExecutor(self._readers, thread_name_prefix="rfs-resync") as pool:
            try:
                rounds = 0
                while not self._is_finished(self._pending):
                    self._check()
                    rounds += 1
                    if rounds <= PATIENT_ROUNDS or not self._round_held(self._pending):
                        self._round(self._pending, pool)
            finally:
                self._ended.set()
        log.info(
            "resync done: %d paths, %d bytes copied, %d compared",
            self.counts.files_done,
            self.counts.bytes_sent,
            self.counts.compared,
        )

    def _starting_entries(self) -> list[Entry]:
        entries: list[Entry] = []
        if self._plan.journals:
            entries = self._asking.journal()
            self._engine.journal.note_all(entries)
            self._asking.journal_taken()
        if self._plan.compare or self._plan.contents:
            extent = Extent.SUBTREE_FULL if self._plan.contents else Extent.SUBTREE
            entries += [Entry(tree=tree.index, path=b"", extent=extent) for tree in self._trees]
        return entries

    def _is_finished(self, pending: Pending) -> bool:
        """True, and everything is streamed from here on, when nothing is left."""
        with self._engine.order:
            if not pending.is_empty:
                return False
            self._restore_directory_times(pending)
            self._engine.finish_pending()
            return True

    def _round(self, pending: Pending, pool: ThreadPoolExecutor | None) -> None:
        """Look at everything that is pending now, once."""
        with self._engine.order:
            subtrees = pending.set.subtrees()
        self._wait_until_applied()
        for tree, top, extent in subtrees:
            self._compare(pending, tree, top, extent)
            if len(pending.set) > FOUND_MAX:
                break
        with self._engine.order:
            # After comparing: a path from the journal may lie below a directory that the secondary turned out to lack.
            paths = pending.set.paths()
        if paths:
            self._wait_until_applied()
            self._equalise_all(pending, paths, pool)
        elif not subtrees:
            self._ended.wait(_ROUND_PAUSE_S)
        self._changed()

    def _round_held(self, pending: Pending) -> bool:
        """Copy the rest while applications wait, if it is small; False when it is not."""
        with self._engine.order:
            paths = pending.set.paths()
            if len(paths) > HELD_PATHS_MAX or pending.set.subtrees():
                return False
            if sum(self._size(tree, path) for tree, path in paths) > HELD_BYTES_MAX:
                return False
            for _ in range(HELD_ROUNDS):
                self._round(pending, None)
                if pending.is_empty:
                    break
            return True

    # Comparing whole subtrees.

    def _compare(self, pending: Pending, tree: int, top: bytes, extent: Extent) -> None:
        """Find what differs at `top` and below it as far as `extent` says, then take that out of what is pending."""
        search = Search(self._trees[tree], top, extent, self._firsts.setdefault(tree, ({}, {})))
        if extent is Extent.LISTING:
            search.compare(top, self._asking.listing(tree, top))
        elif extent is Extent.SUBTREE_FULL or not self._plan.census:
            for directory, theirs in self._asking.walk(tree, top):
                self._check()
                search.compare(directory, theirs)
        else:
            with census.own_directory():
                for counted in self._asking.census(tree, top):
                    self._check()
                    search.count(counted)
            while (differing := search.next_differing()) is not None:
                self._check()
                search.compare_differing(differing, self._asking.listing(tree, differing))
        self.counts.compared += search.compared
        with self._engine.order:
            pending.set.discard_subtree(tree, top, extent)
            for entry in search.found():
                pending.set.add(entry)

    # Making single paths equal.

    def _equalise_all(self, pending: Pending, paths: list[tuple[int, bytes]], pool: ThreadPoolExecutor | None) -> None:
        """Directories, links and removals in order; then contents, with a pool several at once."""
        self.counts.files_total = self.counts.files_done + len(paths)
        files: list[tuple[int, bytes, Row | None]] = []
        for start in range(0, len(paths), ROWS_PER_REQUEST):
            self._check()
            for tree in range(len(self._trees)):
                chunk = [path for index, path in paths[start : start + ROWS_PER_REQUEST] if index == tree]
                if not chunk:
                    continue
                for path, theirs in zip(chunk, self._asking.rows(tree, chunk), strict=True):
                    if not self._equalise_name(pending, tree, path, theirs):
                        files.append((tree, path, theirs))
        self.counts.bytes_total = self.counts.bytes_done + sum(self._size(tree, path) for tree, path, _ in files)
        if pool is None:
            for file in files:
                self._copy(pending, *file)
        else:
            for done in [pool.submit(self._copy, pending, *file) for file in files]:
                done.result()
        with self._engine.order:
            self._restore_directory_times(pending)

    def _size(self, tree: int, path: bytes) -> int:
        row = rows.row_at(self._trees[tree].root_fd, path)
        return 0 if row is None else row.size

    def _equalise_name(self, pending: Pending, tree: int, path: bytes, theirs: Row | None) -> bool:
        """Deal with a path that needs no contents; False when it is a regular file with contents to look at."""
        port = self._trees[tree]
        if path and port.is_excluded(path):
            with self._engine.order:
                pending.equal(tree, path)
            return True
        ours = rows.row_at(port.root_fd, path)
        self._linked.learn(tree, ours)
        if ours is not None and ours.is_directory and (theirs is None or not theirs.is_directory):
            # The secondary has no such directory: what is below it here is found by comparing, when it has one.
            with self._engine.order:
                pending.set.add(Entry(tree=tree, path=path, extent=Extent.SUBTREE))
        with self._engine.order:
            if pending.set.change(tree, path) is None:
                return True
            ours = rows.row_at(port.root_fd, path)
            if ours is not None and ours.is_regular:
                leader = self._linked.leader_of(pending, tree, path, ours)
                if leader == path:
                    return False
                if self._linked.hand_over(pending, tree, path, leader) or pending.set.covers(tree, leader):
                    return True  # A later round, when the other name is equal.
                self._emit(tree, path, ours, theirs, link_to=leader, keep=True)
            elif ours is None:
                if theirs is not None:
                    self._touch_parent(tree, path)
                    self._engine.append(Remove(tree=tree, path=path))
            elif theirs is None or not attributes_equal(ours, theirs):
                self._emit(tree, path, ours, theirs, keep=True)
            if ours is not None and ours.is_directory:
                self._directories.add((tree, path))
            pending.equal(tree, path)
        self.counts.files_done += 1
        return True

    def _emit(
        self,
        tree: int,
        path: bytes,
        ours: Row,
        theirs: Row | None,
        *,
        link_to: bytes = b"",
        keep: bool,
        apart: bool = False,
    ) -> None:
        """Put an Equalise of the path as it is now into the stream; `order` is held."""
        parent, name = beneath.split(path) if path else (b"", b".")
        root_fd = self._trees[tree].root_fd
        parent_fd = beneath.open_beneath(root_fd, parent, beneath.DIRECTORY_FLAGS)
        try:
            target = os.readlink(name, dir_fd=parent_fd) if stat.S_ISLNK(ours.mode) else b""
            attributes = rows.attributes_of(parent_fd, name)
        finally:
            os.close(parent_fd)
        self._touch_parent(tree, path)
        self._engine.append(
            Equalise(
                tree=tree,
                path=path,
                mode=ours.mode,
                uid=ours.uid,
                gid=ours.gid,
                mtime_ns=ours.mtime_ns,
                size=ours.size,
                device=ours.device,
                target=target,
                link_to=link_to,
                single=apart or ours.links == 1,
                keep=keep and theirs is not None,
                attributes=attributes,
            )
        )

    def _touch_parent(self, tree: int, path: bytes) -> None:
        if path:
            self._directories.add((tree, beneath.split(path)[0]))

    def _restore_directory_times(self, pending: Pending) -> None:
        """Give directories whose names were changed by the resync their own modification times; `order` is held."""
        for tree, path in self._directories:
            row = rows.row_at(self._trees[tree].root_fd, path)
            if row is not None and row.is_directory and not pending.set.covers(tree, path):
                self._engine.append(ops.SetTimes(tree=tree, path=path, mtime_ns=row.mtime_ns, atime_ns=-1))
        self._directories.clear()

    # Contents.

    def _copy(self, pending: Pending, tree: int, path: bytes, theirs: Row | None) -> None:
        """Look at one file, admit it to the stream, copy what differs."""
        self._check()
        root_fd = self._trees[tree].root_fd
        with self._engine.order:
            change = pending.examine(tree, path)
        if change is None:
            return
        fd = rows.open_file(root_fd, path)
        if fd is None:
            return  # It is something else by now; the next round sees what.
        try:
            apart = self._linked.is_shared_otherwise(tree, path, theirs)
            known = theirs if theirs is not None and theirs.is_regular else None
            differing, filled = self._differing(fd, tree, path, change, known, apart=apart)
            self._wait_for_room(min(len(differing), 1) * min(ZONE_BYTES, os.fstat(fd).st_size))
            with self._engine.order:
                zones = self._admit(pending, tree, path, theirs, fd, differing, apart=apart)
                if zones is None:
                    return
                if len(zones) <= 1:
                    # One hold for a small file: each is a place in the queue behind all applications.
                    self._copy_zones(pending, tree, path, fd, zones, filled, held=True)
                    return
            self._copy_zones(pending, tree, path, fd, zones, filled, held=False)
        finally:
            os.close(fd)

    def _differing(
        self, fd: int, tree: int, path: bytes, change: Change, theirs: Row | None, *, apart: bool
    ) -> tuple[set[int], set[int]]:
        """Zones that differ, and zones where the secondary has bytes; for a file it lacks, all that hold data.

        apart: the secondary's file is also another one, which may change at any time, so nothing of it is trusted.
        """
        size = os.fstat(fd).st_size
        count = -(-size // ZONE_BYTES)
        if theirs is None or theirs.size == 0:
            return set(range(count)), set()
        if apart:
            return set(range(count)), set(range(count))
        wanted = set(range(count)) if change.zones is None else {zone for zone in change.zones if zone < count}
        if theirs.size != size:
            wanted |= set(range(min(size, theirs.size) // ZONE_BYTES, count))
        zones = sorted(wanted)
        digests = self._asking.hashes(tree, path, zones) if zones else []
        differing = set()
        for zone, digest in zip(zones, digests, strict=True):
            self._check()
            self.counts.bytes_compared += ZONE_BYTES
            if rows.hash_zone(fd, zone) != digest:
                differing.add(zone)
            else:
                self.counts.bytes_done += ZONE_BYTES
        return differing, {zone for zone, digest in zip(zones, digests, strict=True) if digest}

    def _admit(
        self,
        pending: Pending,
        tree: int,
        path: bytes,
        theirs: Row | None,
        fd: int,
        differing: set[int],
        *,
        apart: bool,
    ) -> list[int] | None:
        """Let the file into the stream; return the zones to copy, None when it is no more what was looked at."""
        with self._engine.order:
            touched = pending.admit(tree, path)
            if touched is None:
                return None
            ours = rows.row_at(self._trees[tree].root_fd, path)
            is_other = ours is None or ours.inode != os.fstat(fd).st_ino
            if ours is None or is_other or self._linked.leader_of(pending, tree, path, ours) != path:
                # Something else by now, or a link was made meanwhile; the next round sees what.
                pending.equal(tree, path)
                pending.set.add(Entry(tree=tree, path=path, extent=Extent.WHOLE))
                return None
            count = -(-ours.size // ZONE_BYTES)
            zones = set(range(count)) if touched.zones is None else differing | touched.zones
            if theirs is None or zones or not attributes_equal(ours, theirs):
                self._emit(tree, path, ours, theirs, keep=bool(zones), apart=apart)
            return sorted(zone for zone in zones if zone < count)

    def _copy_zones(
        self,
        pending: Pending,
        tree: int,
        path: bytes,
        fd: int,
        zones: list[int],
        filled: set[int],
        *,
        held: bool,
    ) -> None:
        """Send the zones piece by piece, then the modification time; `held`: the caller holds `order` all along."""
        for zone in zones:
            for offset in range(zone * ZONE_BYTES, (zone + 1) * ZONE_BYTES, PIECE_BYTES):
                self._check()
                if not held:
                    self._wait_for_room(PIECE_BYTES)
                with self._engine.order:
                    if not pending.is_equalising(tree, path):
                        return
                    data = os.pread(fd, PIECE_BYTES, offset)
                    if not data:
                        break
                    self._send_piece(tree, path, offset, data, there=zone in filled)
            self.counts.bytes_done += ZONE_BYTES
        with self._engine.order:
            if pending.is_equalising(tree, path):
                ours = rows.row_at(self._trees[tree].root_fd, path)
                if zones and ours is not None:
                    self._engine.append(ops.SetTimes(tree=tree, path=path, mtime_ns=ours.mtime_ns, atime_ns=-1))
                pending.done(tree, path)
                self.counts.files_done += 1

    def _send_piece(self, tree: int, path: bytes, offset: int, data: bytes, *, there: bool) -> None:
        """Zeros are not sent: a hole on the secondary is as good, and is made where it has other bytes."""
        if data == _ZEROS[: len(data)]:
            if there:
                self._engine.append(
                    ops.Allocate(tree=tree, path=path, mode=_PUNCH_HOLE, offset=offset, length=len(data))
                )
            return
        self._engine.append(ops.Write(tree=tree, path=path, offset=offset, data=data))
        self.counts.bytes_sent += len(data)

    def _wait_for_room(self, count: int) -> None:
        pause_s = self._throttle.pause_s(count)
        if pause_s:
            self._ended.wait(pause_s)
        window = self._engine.window
        while window.head - window.applied > AHEAD_BYTES:
            self._check()
            self._engine.wait_applied(window.head - AHEAD_BYTES, 0.5, self._seconds)

    def _wait_until_applied(self) -> None:
        """Wait until the secondary has applied what is in the stream now.

        What it then says of a path that is pending is the whole truth: nothing on its way is about that path.
        """
        head = self._engine.window.head
        self._engine.push()
        while self._engine.window.applied < head:
            self._check()
            self._engine.wait_applied(head, 0.5, self._seconds)

    def _seconds(self) -> float:
        return self._clock.mono_ns() / 1e9

    def _is_directory(self, tree: int, path: bytes) -> bool:
        row = rows.row_at(self._trees[tree].root_fd, path)
        return row is not None and row.is_directory

    def _check(self) -> None:
        if self._ended.is_set() or not self._engine.connected:
            raise UnavailableError("the link to the secondary ended during the resync")
