"""The change journal: which paths of this node's copy may differ from the peer's.

While in step it is an activity log: what was touched since the last checkpoint, because either machine could lose what
its disk had not yet. While alone it accumulates. Records are appended to segment files without fsync, so they survive
the death of any process; after a reboot of the machine (another boot id) the reader is told, and compares metadata.
What was noted several times is taken together in the background, so the files stay as large as what differs.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from holdfast.errors import StorageError

from services.rfs.copy_state import CopyState
from services.rfs.core import noting
from services.rfs.core import operations as ops
from services.rfs.core.limits import (
    JOURNAL_ENTRIES_MAX,
    JOURNAL_SEGMENT_BYTES,
    ZONE_BYTES,
    ZONES_PER_CHANGE_MAX,
)
from services.rfs.core.paths import Entry, Extent, PathSet, data_entries
from services.rfs.disk import Disk
from services.rfs.segments import SETTLED, UNSURE, Segments

log = logging.getLogger("holdfast.rfs.changes")

_FLAGS = "flags"
_STATE = "copy.json"
_WHOLE_AT = 0
_FLAG_BYTES = 4096
SEGMENTS_MAX = 32
"""More closed segments than this are taken together however small they are: each attempt of a resync begins one."""
_ENTRIES_PER_PAUSE = 2000
_PAUSE_S = 0.002
"""Between so many entries taken together: the interpreter is the applications' first."""


def boot_id() -> bytes:
    """The kernel's identity of this boot (random(4): /proc/sys/kernel/random/boot_id), 16 bytes."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return bytes.fromhex(text.strip().replace("-", ""))


class ChangeJournal:
    """Thread-safe. `note…` return at once when the entry is in the present segment already.

    Two locks, `_taking` before `_lock`: the first is held by whoever replaces or removes segments, or reads older
    ones at length, the second for an instant by everybody.
    """

    def __init__(self, directory: Path, *, trees: int, boot: bytes | None = None, disk: Disk | None = None) -> None:
        """Open or create the journal. `trees` is the number of replicated directories."""
        self._trees = trees
        self._boot = boot_id() if boot is None else boot
        self._lock = threading.Lock()
        self._taking = threading.Lock()
        self._ending = threading.Event()
        self._together: threading.Thread | None = None
        self._noted: set[tuple[int, bytes] | tuple[int, bytes, int]] = set()
        self._flags = -1
        self.state = CopyState(directory / _STATE)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._flags = os.open(directory / _FLAGS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._flags).st_size < _FLAG_BYTES:
                os.pwrite(self._flags, bytes(_FLAG_BYTES), 0)
            self._segments = Segments(directory, self._boot, disk or Disk())
            self._whole_at = self._segments.newest
            self.rebooted = not all(map(self._segments.is_sure, self._segments.numbers()))
            self._begin()
        except OSError as error:
            if self._flags >= 0:
                os.close(self._flags)
            raise StorageError(f"{directory}: the change journal cannot be opened: {error}") from error

    def note(self, tree: int, path: bytes) -> None:
        """Everything about one path may change."""
        if (tree, path) not in self._noted:
            self._append((tree, path), (Entry(tree=tree, path=path, extent=Extent.WHOLE),))

    def note_attributes(self, tree: int, path: bytes) -> None:
        """A path's attributes may change."""
        noted = self._noted
        if (tree, path) not in noted and (tree, path, -1) not in noted:
            self._append((tree, path, -1), (Entry(tree=tree, path=path, extent=Extent.ATTRIBUTES),))

    def note_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        """Bytes of a file may change."""
        noted = self._noted
        if (tree, path) in noted:
            return
        zone = offset // ZONE_BYTES
        if (offset + length - 1) // ZONE_BYTES <= zone:
            if (tree, path, zone) not in noted:
                self._append((tree, path, zone), (Entry(tree=tree, path=path, extent=Extent.ZONE, zone=zone),))
        elif length > ZONES_PER_CHANGE_MAX * ZONE_BYTES:
            self.note(tree, path)
        else:
            for entry in data_entries(tree, path, offset, length):
                if (tree, path, entry.zone) not in noted:
                    self._append((tree, path, entry.zone), (entry,))

    def note_subtree(self, tree: int, path: bytes) -> None:
        """A whole subtree moved or is new here."""
        self._append(None, (Entry(tree=tree, path=path, extent=Extent.SUBTREE_FULL),))

    def note_everything(self) -> None:
        """Every directory counts as changed, as far as metadata tell; needs no room on the disk."""
        with self._lock:
            self._note_whole()

    def note_all(self, entries: Iterable[Entry]) -> None:
        """Take in entries (a peer's journal) and put them on disk before returning."""
        for entry in entries:
            self._append(None, (entry,))
        with self._lock:
            self._segments.sync()

    @property
    def noted(self) -> int:
        """How much was noted since the last `rotate`, counted in entries."""
        return len(self._noted)

    def rotate(self) -> int:
        """Begin a new segment in which everything is noted anew; return the number of the one before."""
        with self._lock:
            previous = self._segments.newest
            self._begin()
            return previous

    def drop_through(self, number: int, remaining: Iterable[Entry] = ()) -> None:
        """Forget the segments up to `number`, except `remaining`, which is written first."""
        entries = list(remaining)
        with self._taking:
            if entries:
                self._segments.write_base(entries, self._boot)
            with self._lock:
                if entries:
                    self._segments.place_base(number)
                if self._whole and self._whole_at <= number:
                    os.pwrite(self._flags, b"\0", _WHOLE_AT)
                old = self._segments.numbers()
                self._segments.remove(one for one in old if one < number or (one == number and not entries))

    def entries(self, *, after: int = -1) -> PathSet:
        """Everything noted in the segments on disk, or, quickly, in those with a number above `after`."""
        result = PathSet(limit=JOURNAL_ENTRIES_MAX)
        if after >= 0:
            self._add_newer(result, after)
            return result
        with self._taking:
            # Closed segments do not change, so that nobody who notes waits while they are read.
            closed = self._segments.numbers()[:-1]
            for number in closed:
                result.update(self._segments.read(number))
            self._add_newer(result, closed[-1] if closed else -1)
        return result

    def take_together(self) -> None:
        """Write every closed segment as one that holds each changed path once."""
        with self._taking:
            with self._lock:
                closed = self._segments.numbers()[:-1]
            if len(closed) < 2:
                return
            merged = PathSet(limit=JOURNAL_ENTRIES_MAX)
            for number in closed:
                for place, entry in enumerate(self._segments.read(number)):
                    merged.add(entry)
                    if place % _ENTRIES_PER_PAUSE == 0 and self._ending.wait(_PAUSE_S):
                        return
            boot = self._boot if all(map(self._segments.is_sure, closed)) else UNSURE
            self._segments.write_base(merged.entries(), boot)
            with self._lock:
                self._segments.place_base(closed[-1])
                self._segments.remove(closed[:-1])

    def clear(self) -> None:
        """Forget everything (the peer has taken it into its own journal)."""
        self.drop_through(self.rotate())
        self.rebooted = False

    @property
    def last_session(self) -> str:
        """The session in which this copy last was in step, or empty: the state that all entries are relative to."""
        return self.state.last_session

    @last_session.setter
    def last_session(self, session: str) -> None:
        self.state.last_session = session

    def use_directories(self, paths: tuple[str, ...]) -> None:
        """Say which directories the numbers of the entries mean; when they mean others now, nothing is in common."""
        before = self.state.directories
        if before == list(paths):
            return
        if before is not None:
            self.clear()
        self.state.begin(list(paths))

    def settle(self) -> None:
        """Replication ends in an orderly way: make all that is noted durable, so that a reboot takes nothing from it.

        Nothing may be noted any more.
        """
        with self._taking, self._lock:
            os.fsync(self._flags)
            if not self.rebooted:
                merged = PathSet(limit=JOURNAL_ENTRIES_MAX)
                numbers = self._segments.numbers()
                for number in numbers:
                    merged.update(self._segments.read(number))
                self._segments.write_base(merged.entries(), SETTLED)
                self._segments.place_base(numbers[-1])
                self._segments.remove(numbers[:-1])

    def close(self) -> None:
        self._ending.set()
        if self._together is not None:
            self._together.join()
        with self._lock:
            self._segments.close()
            os.close(self._flags)
            self._flags = -1

    @property
    def _whole(self) -> bool:
        return os.pread(self._flags, 1, _WHOLE_AT) == b"\1"

    def _note_whole(self) -> None:
        os.pwrite(self._flags, b"\1", _WHOLE_AT)
        self._whole_at = self._segments.newest

    def _append(self, key: tuple[int, bytes] | tuple[int, bytes, int] | None, entries: tuple[Entry, ...]) -> None:
        data = b"".join(noting.encode(entry) for entry in entries)
        with self._lock:
            try:
                is_full = self._segments.size + len(data) > JOURNAL_SEGMENT_BYTES
                if is_full or len(self._noted) > JOURNAL_ENTRIES_MAX or self._segments.is_torn:
                    self._begin()
                self._segments.append(data)
            except OSError as error:
                # No room for the note, but the application may be about to delete: go on without detail.
                if not self._whole:
                    log.warning("change journal: %s; everything counts as changed", error)
                self._note_whole()
            if key is not None:
                self._noted.add(key)

    def _begin(self) -> None:
        """Begin a segment; `_lock` is held (or nobody else is there yet)."""
        self._segments.begin()
        self._noted = set()
        numbers = self._segments.numbers()[:-1]
        is_idle = self._together is None or not self._together.is_alive()
        if is_idle and (
            len(numbers) > SEGMENTS_MAX or self._segments.bytes_in(numbers[1:]) >= JOURNAL_SEGMENT_BYTES // 2
        ):
            self._together = threading.Thread(target=self._take_together, name="rfs-journal", daemon=True)
            self._together.start()

    def _take_together(self) -> None:
        try:
            self.take_together()
        except OSError as error:
            # The segments stay as they are: more room, and nothing lost.
            log.warning("change journal: segments cannot be taken together: %s", error)

    def _add_newer(self, result: PathSet, after: int) -> None:
        with self._lock:
            for number in self._segments.numbers():
                if number > after:
                    result.update(self._segments.read(number))
            if self._whole:
                for tree in range(self._trees):
                    result.add(Entry(tree=tree, path=b"", extent=Extent.SUBTREE))


def note_operation(journal: ChangeJournal, operation: ops.Operation) -> None:
    """Note what an operation changes, with the modification times of the directories whose names it changes."""
    tree, path = operation.tree, operation.path
    match operation:
        case ops.Write():
            journal.note_data(tree, path, operation.offset, len(operation.data))
        case ops.Allocate() if not operation.is_shift:
            journal.note_data(tree, path, operation.offset, operation.length)
        case ops.SetMode() | ops.SetOwner() | ops.SetTimes() | ops.SetAttribute() | ops.RemoveAttribute():
            journal.note_attributes(tree, path)
        case ops.Synchronise():
            return
        case ops.MakeLink():
            journal.note(tree, operation.source)
            _note_name(journal, tree, path)
        case ops.Rename():
            _note_name(journal, tree, path)
            _note_name(journal, tree, operation.target)
        case ops.Truncate() | ops.Allocate():
            journal.note(tree, path)
        case _:
            _note_name(journal, tree, path)


def _note_name(journal: ChangeJournal, tree: int, path: bytes) -> None:
    """A name came, went or changed its meaning: the path itself, and its directory's modification time."""
    journal.note(tree, path)
    if path:
        cut = path.rfind(b"/")
        journal.note_attributes(tree, path[:cut] if cut > 0 else b"")
