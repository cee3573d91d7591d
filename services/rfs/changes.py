"""The change journal: which paths of this node's copy may differ from the peer's.

While in step it is an activity log: what was touched since the last checkpoint, because either machine could lose what
its disk had not yet. While alone it accumulates. Records are appended to segment files without fsync, so they survive
the death of any process; after a reboot of the machine (another boot id) the reader is told, and compares metadata.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import StorageError

from services.rfs.core import noting
from services.rfs.core import operations as ops
from services.rfs.core.limits import JOURNAL_ENTRIES_MAX, JOURNAL_SEGMENT_BYTES, ZONE_BYTES, ZONES_PER_CHANGE_MAX
from services.rfs.core.paths import Entry, Extent, PathSet, data_entries

log = logging.getLogger("holdfast.rfs.changes")

_FLAGS = "flags"
_STATE = "copy.json"
_SEGMENT = "segment-"
_WHOLE_AT = 0
_FLAG_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Stoppage:
    """An orderly stop: wall clock (ns) when the directories were unmounted, device and inode of each."""

    at_ns: int
    roots: tuple[tuple[int, int], ...]


def boot_id() -> bytes:
    """The kernel's identity of this boot (random(4): /proc/sys/kernel/random/boot_id), 16 bytes."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return bytes.fromhex(text.strip().replace("-", ""))


class ChangeJournal:
    """Thread-safe. `note…` return at once when the entry is in the present segment already."""

    def __init__(self, directory: Path, *, trees: int, boot: bytes | None = None) -> None:
        """Open or create the journal. `trees` is the number of replicated directories."""
        self._directory = directory
        self._trees = trees
        self._boot = boot_id() if boot is None else boot
        self._lock = threading.Lock()
        self._noted: set[tuple[int, bytes] | tuple[int, bytes, int]] = set()
        self._fd = -1
        self._size = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._flags = os.open(directory / _FLAGS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if os.fstat(self._flags).st_size < _FLAG_BYTES:
                os.pwrite(self._flags, bytes(_FLAG_BYTES), 0)
            numbers = self._numbers()
            self._number = max(numbers, default=0)
            self.rebooted = any(self._boot_of(number) != self._boot for number in numbers)
            self._open_next()
        except OSError as error:
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
        os.pwrite(self._flags, b"\1", _WHOLE_AT)

    def note_all(self, entries: Iterable[Entry]) -> None:
        """Take in entries (a peer's journal) and put them on disk before returning."""
        for entry in entries:
            self._append(None, (entry,))
        with self._lock:
            os.fsync(self._fd)

    def rotate(self) -> int:
        """Begin a new segment in which everything is noted anew; return the number of the one before."""
        with self._lock:
            previous = self._number
            self._open_next()
            return previous

    def drop_through(self, number: int, remaining: Iterable[Entry] = ()) -> None:
        """Forget the segments up to `number`, except `remaining`, which is written first."""
        entries = list(remaining)
        with self._lock:
            if entries:
                self._write_base(number, entries)
            if self._whole:
                os.pwrite(self._flags, b"\0", _WHOLE_AT)
            for old in self._numbers():
                if old < number or (old == number and not entries):
                    self._path(old).unlink(missing_ok=True)

    def entries(self, *, after: int = -1) -> PathSet:
        """Everything noted in the segments on disk, or in those with a number above `after`."""
        result = PathSet(limit=JOURNAL_ENTRIES_MAX)
        with self._lock:
            for number in (number for number in self._numbers() if number > after):
                data = self._path(number).read_bytes()[noting.SEGMENT_HEADER.size :]
                result.update(noting.decode(data))
            if self._whole:
                for tree in range(self._trees):
                    result.add(Entry(tree=tree, path=b"", extent=Extent.SUBTREE))
        return result

    def clear(self) -> None:
        """Forget everything (the peer has taken it into its own journal)."""
        self.drop_through(self.rotate())
        self.rebooted = False

    @property
    def last_session(self) -> str:
        """The session in which this copy last was in step, or empty: the state that all entries are relative to."""
        return str(self._state().get("last_session", ""))

    @last_session.setter
    def last_session(self, session: str) -> None:
        self._write_state({**self._state(), "last_session": session})

    def use_directories(self, paths: tuple[str, ...]) -> None:
        """Say which directories the numbers of the entries mean; when they mean others now, nothing is in common."""
        state = self._state()
        if state.get("directories") == list(paths):
            return
        if "directories" in state:
            self.clear()
        self._write_state({"directories": list(paths)})

    @property
    def stopped(self) -> Stoppage | None:
        """The orderly stop since which changes were not noted; None after a crash, for then all were."""
        state = self._state()
        at_ns, roots = state.get("stopped_at_ns"), state.get("stopped_roots")
        if not isinstance(at_ns, int) or not isinstance(roots, list):
            return None
        pairs = tuple((int(root[0]), int(root[1])) for root in roots if isinstance(root, list) and len(root) == 2)
        return Stoppage(at_ns, pairs)

    def note_stop(self, stoppage: Stoppage) -> None:
        """From here on changes are not noted; an earlier stop that nobody has looked into stays the one to start at."""
        if self.stopped is None:
            roots = [list(root) for root in stoppage.roots]
            self._write_state({**self._state(), "stopped_at_ns": stoppage.at_ns, "stopped_roots": roots})

    def forget_stop(self) -> None:
        """Everything that changed since the stop is noted."""
        state = {key: value for key, value in self._state().items() if key not in ("stopped_at_ns", "stopped_roots")}
        self._write_state(state)

    def forget_session(self) -> None:
        """Nothing is in common with the peer's copy any more; needs no room on the disk."""
        (self._directory / _STATE).unlink(missing_ok=True)

    def close(self) -> None:
        with self._lock:
            os.close(self._fd)
            os.close(self._flags)
            self._fd = self._flags = -1

    @property
    def _whole(self) -> bool:
        return os.pread(self._flags, 1, _WHOLE_AT) == b"\1"

    def _append(self, key: tuple[int, bytes] | tuple[int, bytes, int] | None, entries: tuple[Entry, ...]) -> None:
        data = b"".join(noting.encode(entry) for entry in entries)
        with self._lock:
            try:
                if self._size + len(data) > JOURNAL_SEGMENT_BYTES or len(self._noted) > JOURNAL_ENTRIES_MAX:
                    self._open_next()
                os.write(self._fd, data)
            except OSError as error:
                # No room for the note, but the application may be about to delete: go on without detail.
                if not self._whole:
                    log.warning("change journal: %s; everything counts as changed", error)
                os.pwrite(self._flags, b"\1", _WHOLE_AT)
            self._size += len(data)
            if key is not None:
                self._noted.add(key)

    def _open_next(self) -> None:
        number = self._number + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self._path(number), flags, 0o600)
        try:
            os.write(fd, noting.SEGMENT_HEADER.pack(noting.MAGIC, self._boot))
        except OSError:
            os.close(fd)
            self._path(number).unlink()
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._number, self._size = fd, number, noting.SEGMENT_HEADER.size
        self._noted = set()

    def _write_base(self, number: int, entries: list[Entry]) -> None:
        """Replace segment `number` by these entries, durably and at once."""
        target = self._path(number)
        temporary = target.with_name("base.new")
        data = noting.SEGMENT_HEADER.pack(noting.MAGIC, self._boot) + b"".join(map(noting.encode, entries))
        _write_durably(temporary, data)
        os.replace(temporary, target)

    def _numbers(self) -> list[int]:
        return sorted(
            int(name.removeprefix(_SEGMENT))
            for name in os.listdir(self._directory)
            if name.startswith(_SEGMENT) and name.removeprefix(_SEGMENT).isdigit()
        )

    def _path(self, number: int) -> Path:
        return self._directory / f"{_SEGMENT}{number:012d}"

    def _boot_of(self, number: int) -> bytes:
        data = self._path(number).read_bytes()[: noting.SEGMENT_HEADER.size]
        if len(data) < noting.SEGMENT_HEADER.size:
            return b""
        magic, boot = noting.SEGMENT_HEADER.unpack(data)
        return bytes(boot) if magic == noting.MAGIC else b""

    def _state(self) -> dict[str, object]:
        try:
            value = json.loads((self._directory / _STATE).read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            # An unreadable record of the last session means: nothing in common, compare everything.
            log.warning("%s: %s; both copies will be compared", self._directory / _STATE, error)
            return {}
        return value if isinstance(value, dict) else {}

    def _write_state(self, value: dict[str, object]) -> None:
        temporary = self._directory / (_STATE + ".new")
        _write_durably(temporary, json.dumps(value).encode())
        os.replace(temporary, self._directory / _STATE)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _write_durably(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def note_operation(journal: ChangeJournal, operation: ops.Operation) -> None:
    """Note what an operation changes, with the modification times of the directories whose names it changes."""
    tree, path = operation.tree, operation.path
    match operation:
        case ops.Write():
            journal.note_data(tree, path, operation.offset, len(operation.data))
        case ops.Allocate():
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
        case ops.Truncate():
            journal.note(tree, path)
        case _:
            _note_name(journal, tree, path)


def _note_name(journal: ChangeJournal, tree: int, path: bytes) -> None:
    """A name came, went or changed its meaning: the path itself, and its directory's modification time."""
    journal.note(tree, path)
    if path:
        cut = path.rfind(b"/")
        journal.note_attributes(tree, path[:cut] if cut > 0 else b"")
