"""Making files durable on the secondary: several at once, each once for all requests of a batch."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

from services.rfs import beneath

SYNC_THREADS = 4
"""fdatasync calls in flight: enough to fill a disk's queue while one journal commit runs."""


class Syncing:
    """Collects what a batch asks to be durable. For one thread; only the waiting is done by others."""

    def __init__(self) -> None:
        self._wanted: dict[int, bool] = {}
        self._wholes: set[int] = set()
        self._pool: ThreadPoolExecutor | None = None

    def add(self, fd: int, *, data_only: bool) -> None:
        """Have `fd` durable after the next `flush`."""
        self._wanted[fd] = self._wanted.get(fd, True) and data_only

    def add_whole(self, root_fd: int) -> None:
        """Have the whole file system of `root_fd` durable after the next `flush`."""
        self._wholes.add(root_fd)

    def settle(self, fd: int) -> None:
        """`fd` is about to be closed: if it is wanted, make it durable now."""
        data_only = self._wanted.pop(fd, None)
        if data_only is not None:
            _sync(fd, data_only)

    def flush(self) -> None:
        """Return when all that was asked for is durable; raise OSError when one cannot be."""
        if not self._wanted and not self._wholes:
            return
        wanted, self._wanted = self._wanted, {}
        wholes, self._wholes = self._wholes, set()
        for root_fd in wholes:
            beneath.sync_file_system(root_fd)
        if len(wanted) == 1:
            ((fd, data_only),) = wanted.items()
            _sync(fd, data_only)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="rfs-sync")
        running: list[Future[None]] = [self._pool.submit(_sync, fd, data_only) for fd, data_only in wanted.items()]
        for one in running:
            one.result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _sync(fd: int, data_only: bool) -> None:
    if data_only:
        os.fdatasync(fd)
    else:
        os.fsync(fd)
