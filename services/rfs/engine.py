"""The file system's side of replication: record, wait, back-pressure, freezing. Implements `ports.Replication`.

What is held by whom, and why nothing is lost or stuck, stands in CONCURRENCY.md.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from enum import Enum

from services.rfs.changes import ChangeJournal, note_operation
from services.rfs.core import operations as ops
from services.rfs.core.markers import Item
from services.rfs.core.operations import Operation
from services.rfs.core.pending import Pending
from services.rfs.outlet import WAKE_BYTES, Outlet
from services.rfs.stream import Window

_LOOK_AROUND_S = 0.2
"""A waiting thread looks at the state by itself this often, so that a lost wake-up costs that much and no more."""
_PERIOD_BUSY_S = 0.005
_PERIOD_QUIET_S = 0.25
_BUSY_TICKS = 200
"""The background thread sends small leftovers every 5 ms while there is traffic, and looks four times a second else."""


class Promise(Enum):
    """What `wait` does with an operation that the peer has not acknowledged."""

    ALONE = "return"
    """Promises need no peer."""
    PEER = "wait for the peer"
    REFUSED = "raise EROFS"
    """The node has lost the right to act."""
    ENDED = "raise EIO"
    """The service ends."""


class Engine:
    """Hot path of a primary; on a secondary it only says that nothing may be written. Thread-safe."""

    def __init__(self, window: Window, journal: ChangeJournal, root_fds: Sequence[int] = ()) -> None:
        self.order = threading.RLock()
        self.window = window
        self.journal = journal
        self._root_fds = tuple(root_fds)
        self._writable = False
        self._promise = Promise.REFUSED
        self._streaming = False
        self._pending: Pending | None = None
        self._outlet: Outlet | None = None
        self._guard = threading.Lock()
        self._waiters: list[tuple[int, threading.Lock]] = []
        self._promised = window.applied
        self.changed: Callable[[], None] = lambda: None
        self.recorded_bytes = 0
        self._background: threading.Thread | None = None

    # What the file system calls.

    @property
    def position(self) -> int:
        """How long the stream is; see ports.Replication."""
        return self.window.head

    def record(self, operation: Operation) -> int:
        """Journal the change and put it into the stream; see ports.Replication."""
        if type(operation) is ops.Write:
            length = len(operation.data)
            self.journal.note_data(operation.tree, operation.path, operation.offset, length)
            self.recorded_bytes += length
        else:
            self._note(operation)
        if not self._streaming or (self._pending is not None and self._pending.withholds(operation)):
            return self.window.head
        return self.append(operation)

    def before(self, paths: tuple[tuple[int, bytes], ...]) -> None:
        """Note whole paths; a directory that is about to be renamed with all that is below it."""
        subtree = len(paths) > 1 and any(self._is_directory(tree, path) for tree, path in paths)
        for tree, path in paths:
            self.journal.note(tree, path)
            if subtree:
                self.journal.note_subtree(tree, path)

    def before_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        self.journal.note_data(tree, path, offset, length)

    def before_attributes(self, tree: int, path: bytes) -> None:
        self.journal.note_attributes(tree, path)

    def wait(self, sequence: int) -> None:
        """Return when `sequence` is as safe as promised; see ports.Replication."""
        while self._promise is not Promise.ALONE:
            if self._promised >= sequence and self._streaming:
                return
            self._raise_if_over()
            outlet = self._outlet
            if outlet is None or not outlet.alive:
                self._sleep(sequence)
                continue
            outlet.push()
            if not self._collect(outlet, sequence):
                self._sleep(sequence)

    def may_write(self) -> bool:
        return self._writable

    # What replication itself calls.

    def use_roots(self, root_fds: Sequence[int]) -> None:
        """The descriptors of the real directories, when they are opened after the engine was made."""
        self._root_fds = tuple(root_fds)

    @property
    def promise(self) -> Promise:
        return self._promise

    @property
    def promised(self) -> int:
        return self._promised

    @property
    def streaming(self) -> bool:
        return self._streaming

    @property
    def connected(self) -> bool:
        outlet = self._outlet
        return outlet is not None and outlet.alive

    @property
    def sent_bytes(self) -> int:
        outlet = self._outlet
        return 0 if outlet is None else outlet.sent_bytes

    def append(self, item: Item) -> int:
        """Put an operation or marker into the stream, waiting while the window is full; `order` is held.

        Returns its position, or the head as it is when the stream ended meanwhile.
        """
        while self._streaming:
            end = self.window.append(item)
            if end is not None:
                outlet = self._outlet
                if outlet is not None:
                    if type(item) is ops.Synchronise:
                        outlet.push()
                    elif end - outlet.sent > WAKE_BYTES:
                        outlet.wake()
                return end
            self._make_room()
        return self.window.head

    def push(self) -> bool:
        """Send what there is without waiting; False when something is left or nobody is connected."""
        outlet = self._outlet
        return outlet is not None and outlet.push()

    def allow(self, promise: Promise, *, writable: bool) -> None:
        """Set what is promised and whether applications may write; waiting threads see it at once."""
        self._writable = writable
        self._promise = promise
        self.wake_all()

    def begin_session(self, session: str, epoch: int, *, fast: bool = False) -> int:
        """Clear the window for a new session (or none); nothing streams until `start_stream`. Returns its start."""
        self._streaming = False
        self.wake_all()
        with self.order:
            self._pending = None
            start = self.window.begin(session, epoch, fast=fast)
            self._promised = start
            return start

    def resume_session(self, position: int) -> bool:
        """Go on with the window's session at what the secondary has applied; False when the window has not got it."""
        if not self.window.acknowledge(position):
            return False
        self._promised = max(self._promised, position)
        return True

    def start_stream(self, pending: Pending | None) -> None:
        """From here on operations are streamed, except those that touch what is pending; `order` is held."""
        self._pending = pending
        self._streaming = True

    def finish_pending(self) -> None:
        """Nothing is pending any more; `order` is held."""
        self._pending = None

    def attach(self, outlet: Outlet) -> None:
        """Use a new connection, in place of the one before."""
        old, self._outlet = self._outlet, outlet
        if old is not None:
            old.shut()
        self._background = threading.Thread(target=self._keep_moving, args=(outlet,), name="rfs-outlet", daemon=True)
        self._background.start()
        self.wake_all()

    def detach(self) -> None:
        """Drop the connection."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            outlet.shut()
        self.wake_all()

    def wake_all(self) -> None:
        """Have every waiting thread look again."""
        with self._guard:
            waiters, self._waiters = self._waiters, []
        for _, lock in waiters:
            lock.release()

    def wait_applied(self, position: int, timeout_s: float, clock: Callable[[], float]) -> bool:
        """Wait until the secondary has applied everything up to `position`; False on time-out or a broken link."""
        deadline = clock() + timeout_s
        while self.window.applied < position:
            if not self.connected or clock() > deadline:
                return False
            self._help(position)
        return True

    # Inside.

    def _note(self, operation: Operation) -> None:
        if type(operation) is ops.Rename and self._is_directory(operation.tree, operation.target):
            self.journal.note_subtree(operation.tree, operation.path)
            self.journal.note_subtree(operation.tree, operation.target)
        note_operation(self.journal, operation)

    def _is_directory(self, tree: int, path: bytes) -> bool:
        try:
            found = os.stat(path or b".", dir_fd=self._root_fds[tree], follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode)

    def _raise_if_over(self) -> None:
        if self._promise is Promise.REFUSED:
            raise OSError(errno.EROFS, "this node has given the primary role away")
        if self._promise is Promise.ENDED:
            raise OSError(errno.EIO, "the replication service ends")

    def _make_room(self) -> None:
        if self._promise is not Promise.ALONE:
            self._raise_if_over()
        self._help(self.window.applied + 1)

    def _help(self, position: int) -> None:
        """Move the stream a little, or sleep a little: for those who wait for something else than a promise."""
        outlet = self._outlet
        if outlet is None or not outlet.alive:
            self._sleep(position)
            return
        outlet.push()
        if not self._collect(outlet, None):
            self._sleep(position)

    def _collect(self, outlet: Outlet, sequence: int | None, *, block: bool = True) -> bool:
        """Receive acknowledgements unless another thread does, or `sequence` is served; False when another does.

        The only place where `_promised` grows while a connection stands, and only under `reading`, so it never shrinks.
        """
        if not outlet.reading.acquire(blocking=False):
            return False
        try:
            if sequence is None or self._promised < sequence:
                outlet.receive(block=block)
            if outlet.promised > self._promised:
                self._promised = outlet.promised
        finally:
            outlet.reading.release()
            self._wake_waiters()
        return True

    def _sleep(self, position: int) -> None:
        """Sleep until somebody else has received what may concern `position`, or a while has passed."""
        lock = threading.Lock()
        lock.acquire()
        entry = (position, lock)
        with self._guard:
            outlet = self._outlet
            if self._promised >= position and self._promise is Promise.PEER:
                return
            if outlet is not None and outlet.alive and not outlet.reading.locked():
                return
            self._waiters.append(entry)
        if not lock.acquire(timeout=_LOOK_AROUND_S):
            with self._guard:
                if entry in self._waiters:
                    self._waiters.remove(entry)

    def _wake_waiters(self) -> None:
        """Wake those who are served, and one who is not, to receive for the rest."""
        if not self._waiters:
            return
        with self._guard:
            served = [entry for entry in self._waiters if entry[0] <= self._promised]
            rest = [entry for entry in self._waiters if entry[0] > self._promised]
            if rest:
                leader = min(rest, key=lambda entry: entry[0])
                rest.remove(leader)
                served.append(leader)
            self._waiters = rest
        for _, lock in served:
            lock.release()

    def _keep_moving(self, outlet: Outlet) -> None:
        """The background thread of one connection: sends what nobody waits for, notices the link's end."""
        busy = 0
        last = outlet.sent
        while outlet.alive and self._outlet is outlet:
            complete = outlet.push()
            self._collect(outlet, None, block=False)
            busy = _BUSY_TICKS if outlet.sent != last else max(busy - 1, 0)
            last = outlet.sent
            period = _PERIOD_BUSY_S if busy or self.window.head != self.window.applied else _PERIOD_QUIET_S
            outlet.rest(period, blocked=not complete, listen=not busy)
        outlet.close()
        if self._outlet is outlet:
            self._outlet = None
            self.wake_all()
        self.changed()
