"""What was about to be done that must not be done twice, kept where a killed worker cannot lose it.

Most requests that the kernel sends again can simply be done again. An exchange of two names and a shift of a file's
contents cannot: done twice, they are undone, or damage the file. So before one of these the worker notes here which
request it is, something that the operation changes (an inode number, a size), and how long the stream was. The next
worker sees by the first whether it was done, and by the second whether it was recorded.

The file is mapped shared. Each slot is valid once its request number is written, which comes last.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import StorageError

SLOTS = 64
"""Requests under way at a time are at most as many as there are workers (24)."""
_WORDS = 3
_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Intent:
    """before: what the operation changes, as it was. position: the stream's length before the operation."""

    before: int
    position: int


class Intents:
    """The last so many intents. Not thread-safe: used under `order`."""

    def __init__(self, path: Path) -> None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size != _BYTES:
                    os.ftruncate(fd, _BYTES)
                self._map = mmap.mmap(fd, _BYTES)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"{path}: intents cannot be mapped: {error}") from error
        self._view = memoryview(self._map)
        self._words = self._view.cast("Q")
        self._next = 0

    def note(self, request: int, intent: Intent) -> None:
        """Remember what a request is about to do; it replaces the oldest."""
        at = self._next * _WORDS
        self._next = (self._next + 1) % SLOTS
        self._words[at] = 0
        self._words[at + 1] = intent.before
        self._words[at + 2] = intent.position
        self._words[at] = request

    def find(self, request: int) -> Intent | None:
        """What a request was about to do when its worker was killed, if it got so far."""
        for at in range(0, SLOTS * _WORDS, _WORDS):
            if self._words[at] == request:
                return Intent(before=self._words[at + 1], position=self._words[at + 2])
        return None

    def close(self) -> None:
        """Unmap; the file stays."""
        self._words.release()
        self._view.release()
        self._map.close()
