"""What Linux says about this process and node being short of CPU time; read cheaply, missing files say nothing.

`/proc/<pid>/task/<tid>/schedstat`, second field: nanoseconds this thread waited on a run queue
(Documentation/scheduler/sched-stats.rst). `/proc/pressure/cpu`, `some … total=`: microseconds in which some task
waited for a CPU (Documentation/accounting/psi.rst).
"""

from __future__ import annotations

import os
import threading

PRESSED_SHARE_PERCENT = 50
"""A node on which somebody waits for a CPU at least half of the time is short of CPU time."""
WINDOW_NS = 500_000_000
_READ_BYTES = 256


class Strain:
    """Measures the thread that makes it."""

    def __init__(self) -> None:
        self._schedstat = _open(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._pressure = _open("/proc/pressure/cpu")
        self._waited_ns = self._read_waited_ns()
        self._older = self._newer = (0, self._read_pressure_us())

    def close(self) -> None:
        for fd in (self._schedstat, self._pressure):
            if fd >= 0:
                os.close(fd)
        self._schedstat = self._pressure = -1

    def waited_ns(self) -> int:
        """How long this thread waited for a CPU since the last call."""
        waited_ns, self._waited_ns = self._waited_ns, self._read_waited_ns()
        return self._waited_ns - waited_ns

    def sample(self, at_ns: int) -> None:
        """Keep the window of `is_pressed` moving; to be called at least now and then."""
        if at_ns - self._newer[0] >= WINDOW_NS:
            self._older, self._newer = self._newer, (at_ns, self._read_pressure_us())

    def is_pressed(self, at_ns: int) -> bool:
        """Whether this node was short of CPU time during the last half to whole second."""
        since_ns, before_us = self._older
        waited_us = self._read_pressure_us() - before_us
        return since_ns > 0 and waited_us * 1000 * 100 >= PRESSED_SHARE_PERCENT * (at_ns - since_ns)

    def _read_waited_ns(self) -> int:
        words = _read(self._schedstat).split()
        return int(words[1]) if len(words) > 1 else 0

    def _read_pressure_us(self) -> int:
        line, _, _ = _read(self._pressure).partition(b"\n")
        _, found, total = line.partition(b"total=")
        return int(total) if found and total.isdigit() else 0


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(fd: int) -> bytes:
    if fd < 0:
        return b""
    try:
        return os.pread(fd, _READ_BYTES, 0)
    except OSError:
        return b""
