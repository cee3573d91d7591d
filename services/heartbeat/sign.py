"""The sign of life that the beating process gives its spare: by when it will have turned its loop again.

One page of memory shared through `<run>/heartbeat/sign`. Who reads it and what follows: `vigil`, `CONCURRENCY.md`.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from services.heartbeat.memory import Memory

PID, STARTED, PROMISE, PATIENCE = range(4)
"""Places of the words in the page."""
SIGN_BYTES = mmap.PAGESIZE
NEVER_NS = 0
"""In place of a promise: nothing is promised now, so nothing can be broken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the page says. started: clock ticks since boot, so that a reused number is not taken for the process.

    promise_ns: monotonic time by which the loop will have turned, or NEVER_NS. patience_ns: how much later than that
    it may be.
    """

    pid: int
    started: int
    promise_ns: int
    patience_ns: int


class Sign:
    """The page, mapped. One process writes, the others only read."""

    def __init__(self, memory: Memory) -> None:
        fd = memory.open_sign()
        try:
            os.ftruncate(fd, SIGN_BYTES)
            self._page = mmap.mmap(fd, SIGN_BYTES)
        finally:
            os.close(fd)
        # Native words, each stored at once: a reader never sees half of one.
        self._words = memoryview(self._page).cast("q")

    def begin(self) -> None:
        """Say who beats now, and promise nothing yet; to be called with the turn."""
        self.promise(NEVER_NS, 0)
        self._words[PID] = os.getpid()
        self._words[STARTED] = started_ticks(os.getpid())

    def promise(self, by_ns: int, patience_ns: int) -> None:
        """Promise to turn the loop by then."""
        self._words[PATIENCE] = patience_ns
        self._words[PROMISE] = by_ns

    def read(self) -> Reading:
        """Return what the page says now."""
        words = self._words
        return Reading(promise_ns=words[PROMISE], patience_ns=words[PATIENCE], pid=words[PID], started=words[STARTED])


def started_ticks(pid: int) -> int:
    """Return when a process started (field 22 of proc_pid_stat(5)), or 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])
