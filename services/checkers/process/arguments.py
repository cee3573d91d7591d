"""Argument lists of processes, read so that one that hangs in the kernel holds up nobody but a helper thread.

/proc/PID/cmdline is read from the memory of the process itself, under a lock of it (mmap_lock, `get_mm_cmdline` of
fs/proc/base.c) that a process may hold without end while it waits in the kernel. The wait ends with a kill of the
reader, so a helper that waits does not keep this service from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence

READ_BYTES_MAX = 1 << 16
"""Of one argument list; regular expressions look at no more."""
STEP_S_MAX = 0.2
"""Without an argument list more, the process in hand hangs; reading one takes some 10 µs."""
HANGING_MAX = 8
"""Processes that are waited for, each by a thread. With so many nothing more is read until one of them goes on."""

log = logging.getLogger("holdfast.checkers")


class _Batch:
    """Some processes, read one after the other by a thread. texts: what was read; at: the process in hand."""

    def __init__(self, proc: str, pids: Sequence[int]) -> None:
        self.texts: dict[int, str] = {}
        self.at = 0
        self.is_given_up = False
        self.over = asyncio.Event()
        self._proc, self._pids = proc, pids
        self._loop = asyncio.get_running_loop()
        self.thread = threading.Thread(target=self._read, name="arguments", daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for pid in self._pids:
            self.at = pid
            self.texts[pid] = _read_text(f"{self._proc}/{pid}/cmdline")
            if self.is_given_up:
                return
        # The service may have ended meanwhile, and its loop with it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.over.set)


class Arguments:
    """Reads argument lists. Processes that hang are left out until they go on."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._hanging: dict[int, threading.Thread] = {}

    async def read(self, pids: Sequence[int]) -> Mapping[int, str]:
        """Argument lists, joined with spaces, by process; those that cannot be read now are not among them."""
        texts: dict[int, str] = {}
        self._forget_those_that_went_on()
        left = [pid for pid in pids if pid not in self._hanging]
        while left and len(self._hanging) < HANGING_MAX:
            batch = _Batch(self._proc, left)
            await self._until_over_or_hanging(batch)
            texts.update(batch.texts.copy())
            left = [pid for pid in left if pid not in texts and pid not in self._hanging]
        return texts

    def _forget_those_that_went_on(self) -> None:
        self._hanging = {pid: thread for pid, thread in self._hanging.items() if thread.is_alive()}

    async def _until_over_or_hanging(self, batch: _Batch) -> None:
        done = -1
        while not batch.over.is_set() and len(batch.texts) > done:
            done = len(batch.texts)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STEP_S_MAX):
                    await batch.over.wait()
        if not batch.over.is_set():
            batch.is_given_up = True
            self._hanging[batch.at] = batch.thread
            log.warning("process %d hangs in the kernel and does not show its arguments", batch.at)


def _read_text(path: str) -> str:
    """Empty for a process that is gone, and for threads of the kernel."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        data = os.read(descriptor, READ_BYTES_MAX)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return data.decode(errors="replace").rstrip("\0").replace("\0", " ")
