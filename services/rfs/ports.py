"""The two seams inside rfs: what the file system needs of replication, and what replication needs of the file system.

Order rule: an operation's place in the stream is taken while `order` is held, and for namespace operations
(create, rename, unlink, link, …) the local system call and `record` happen under the same hold. Data writes and
attribute changes do their local system call under their node's own lock, then take `order` only for `record`.
So the stream's order is an order in which the same operations give the same tree. A reader of file contents for
resynchronisation holds `order` across "read block, record block", and is therefore never older than a later write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from services.rfs.core.operations import Operation


class Replication(Protocol):
    """What the file system calls. Thread-safe; called from several FUSE worker threads."""

    order: threading.RLock

    @property
    def position(self) -> int:
        """How long the stream is; it grows with what is recorded, also across a worker's death."""

    def record(self, operation: Operation) -> int:
        """Append to the stream (and to the change journal) and return its sequence number.

        Called with `order` held, after the local effect succeeded. Never blocks on the network; may block while the
        window of unacknowledged operations is full (back-pressure). When the node is alone it only journals the change.
        A Synchronise is the exception: record it before the local fsync, so that both disks work at the same time,
        and call `wait` after the local fsync returned.
        """

    def before(self, paths: tuple[tuple[int, bytes], ...]) -> None:
        """Note in the change journal that these (tree, path) are about to change; called before the local effect.

        Cheap when they are already noted. It makes sure that a crash between effect and `record` is found by resync.
        """

    def before_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        """Like `before`, for bytes of one file: notes only the 1 MiB zones touched, so that resync copies only those.

        Enough for writes, allocation and punched holes; `before` is for everything else.
        """

    def before_attributes(self, tree: int, path: bytes) -> None:
        """Like `before`, for mode, owner, times and extended attributes of one path: its contents stay as they are."""

    def wait(self, sequence: int) -> None:
        """Return once everything up to `sequence` is as safe as the module promises, or raise OSError.

        This is the point where a frozen primary holds its applications: it returns when the peer has acknowledged, or
        when the state machine has decided that the node goes on alone; it raises OSError(EROFS) when the node has
        lost the right to act (stepping down), OSError(EIO) when the service ends.
        """

    def may_write(self) -> bool:
        """False while the tree is read-only to applications (secondary)."""


class Tree(Protocol):
    """One replicated directory as replication sees it: the real directory below the mount."""

    index: int
    root_fd: int  # O_PATH|O_DIRECTORY descriptor of the real directory, opened before mounting

    def is_excluded(self, path: bytes) -> bool:
        """True for paths that are not replicated (they exist on each node for itself)."""

    def invalidate(self, path: bytes) -> None:
        """Drop the kernel's cached contents, attributes and entry of a path changed below the mount (secondary)."""

    def settle(self, path: bytes) -> None:
        """Record the modification time of a file that was written and not yet synchronised or closed (primary).

        Data are recorded as they are written, their time with the next fsync or close: until then it differs.
        """

    def finish_changes(self) -> None:
        """Return when every change that an application had begun, and noted, has been recorded too (primary).

        Must not be called with a lock of the file system or `order` held.
        """


Wake = Callable[[], None]
