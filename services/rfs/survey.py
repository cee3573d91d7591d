"""What was changed in the directories while they were ordinary files: one walk by metadata after an orderly stop.

While nothing is mounted, nobody notes changes. A change of contents, attributes or names gives the inode, or the
directory that holds the name, a later change time (POSIX, "File Times Update"), which no application can set back.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.clock import Clock

from services.rfs import beneath, rows
from services.rfs.changes import ChangeJournal
from services.rfs.copy_state import Stoppage
from services.rfs.core.paths import Entry, Extent
from services.rfs.ports import Tree

log = logging.getLogger("holdfast.rfs.survey")

SLACK_NS = 2_000_000_000
"""Change times this much before the stop count as later: they come from the kernel's last tick (at most 10 ms old),
some file systems round them to seconds, and the wall clock may have been corrected by fractions of a second."""
ENTRIES_PER_NOTE = 1000
NAMES_PER_PAUSE = 256
PAUSE_S = 0.001
"""A short pause every so many names leaves the interpreter to the applications' requests."""
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class _Directory:
    """A directory still to be read. may_have_moved: its own name may mean another directory than before."""

    path: bytes
    has_changed: bool
    may_have_moved: bool


class Survey:
    """Notes what changed since the stop, in a thread of its own. `start` once; `wait` from any thread; `stop` once."""

    def __init__(self, trees: Sequence[Tree], journal: ChangeJournal, clock: Clock) -> None:
        self._trees = trees
        self._journal = journal
        self._clock = clock
        self._stoppage = journal.state.stopped
        self._stopping = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._found: list[Entry] = []
        self.names = 0
        """Names looked at."""
        self.noted = 0
        """Entries added to the change journal."""
        if self._stoppage is None:
            self._done.set()

    @property
    def is_owed(self) -> bool:
        """True while changes made during a stop may be unknown to the change journal."""
        return not self._done.is_set()

    def start(self) -> None:
        """Begin; the directories are mounted, so that every later change is noted by the file system."""
        if self._stoppage is None or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, args=(self._stoppage,), name="rfs-survey", daemon=True)
        self._thread.start()

    def wait(self, ended: threading.Event) -> bool:
        """Return True when the journal knows all changes, False when `ended` or the survey's stop came first."""
        while not self._done.wait(_WAIT_S):
            if ended.is_set() or self._stopping.is_set():
                return False
        return True

    def stop(self) -> None:
        """End the walk; what it has not seen stays owed to the next start."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, stoppage: Stoppage) -> None:
        now_ns = self._clock.wall_ns()
        for place, tree in enumerate(self._trees):
            found = os.fstat(tree.root_fd)
            same = place < len(stoppage.roots) and stoppage.roots[place] == (found.st_dev, found.st_ino)
            if not same or stoppage.at_ns > now_ns:
                log.warning("tree %d: change times cannot be trusted since the stop; all metadata are compared", place)
                self._note(Entry(tree=tree.index, path=b"", extent=Extent.SUBTREE))
            try:
                self._walk(tree, stoppage.at_ns - SLACK_NS, found.st_dev)
            except OSError as error:
                log.warning("tree %d cannot be read whole: %s; all metadata are compared", place, error)
                self._note(Entry(tree=tree.index, path=b"", extent=Extent.SUBTREE))
        if self._stopping.is_set():
            return
        try:
            self._write()
            self._journal.state.forget_stop()
        except OSError as error:
            log.warning("what changed while stopped cannot be noted: %s; all metadata are compared", error)
            self._journal.note_everything()
        log.info("changed while stopped: %d entries noted, %d names looked at", self.noted, self.names)
        self._done.set()

    def _walk(self, tree: Tree, since_ns: int, device: int) -> None:
        stack = [_Directory(b"", os.fstat(tree.root_fd).st_ctime_ns > since_ns, False)]
        while stack and not self._stopping.is_set():
            directory = stack.pop()
            if directory.has_changed:
                extent = Extent.SUBTREE if directory.may_have_moved else Extent.LISTING
                self._note(Entry(tree=tree.index, path=directory.path, extent=extent))
            try:
                fd = beneath.open_beneath(tree.root_fd, directory.path, beneath.DIRECTORY_FLAGS)
            except OSError as error:
                if error.errno in _GONE:
                    continue  # Removed by an application since; that was noted by the file system.
                raise
            try:
                stack += self._look(tree, directory, fd, since_ns, device)
            finally:
                os.close(fd)

    def _look(self, tree: Tree, directory: _Directory, fd: int, since_ns: int, device: int) -> list[_Directory]:
        """Note the changed names of one directory; return the directories in it."""
        below: list[_Directory] = []
        with os.scandir(fd) as names:
            for name in names:
                self.names += 1
                if self.names % NAMES_PER_PAUSE == 0 and self._stopping.wait(PAUSE_S):
                    return []
                path = rows.join(directory.path, os.fsencode(name.name))
                if tree.is_excluded(path):
                    continue
                try:
                    found = name.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                has_changed = found.st_ctime_ns > since_ns
                if stat.S_ISDIR(found.st_mode):
                    if found.st_dev == device:
                        # Renaming a directory changes it and the directory that holds its name.
                        below.append(_Directory(path, has_changed, has_changed and directory.has_changed))
                elif has_changed:
                    self._note(Entry(tree=tree.index, path=path, extent=Extent.WHOLE))
        return below

    def _note(self, entry: Entry) -> None:
        self._found.append(entry)
        self.noted += 1
        if len(self._found) >= ENTRIES_PER_NOTE:
            self._write()

    def _write(self) -> None:
        self._journal.note_all(self._found)
        self._found.clear()
