"""Room on the disk that is kept for the moment when there is none: decisions have to be recorded also then."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from holdfast.errors import StorageError

RESERVE_BYTES = 8 << 20
"""Some ten thousand events: hours of work of a module, days of an idle one."""
REFILL_BYTES_FREE = 8 * RESERVE_BYTES
"""The reserve is only taken again from a disk that has room for others too."""
ENOUGH_BYTES_FREE = 2 * RESERVE_BYTES
"""A disk without the reserve has room again from here on; more than giving the reserve up frees."""
Result = TypeVar("Result")
log = logging.getLogger("holdfast.statemachine")


class Reserve:
    """A file of zeros beside the journals, given up when a write fails. Used from several threads.

    has_room: is the reserve there, or was there room enough without it at the last look?
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "reserve"
        self.has_room = True

    def fill(self) -> None:
        """Take the room if it can be had, and look how much there is; without it everything works until the disk is
        full."""
        try:
            if self._path.exists():
                self.has_room = True
                return
            free = _free(self._path.parent)
            self.has_room = free >= (RESERVE_BYTES if self.has_room else ENOUGH_BYTES_FREE)
            if free < REFILL_BYTES_FREE:
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            finally:
                os.close(fd)
            self.has_room = True
        except OSError as error:
            log.warning("%s: no room can be reserved: %s", self._path, error)

    def spend(self, write: Callable[[], Result]) -> Result:
        """Do a write; when the disk refuses it, give the reserve up and do it again. Raises StorageError at last."""
        try:
            return write()
        except StorageError as error:
            try:
                self._path.unlink()
            except OSError:
                raise error from None
            self.has_room = False
            log.error("%s; the reserve of %d MiB is given up: make room", error, RESERVE_BYTES >> 20)
            return write()


def _free(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
