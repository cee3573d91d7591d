"""The spare watches the process that beats, and ends it when it hangs: then the kernel gives the turn to the spare.

It never takes the turn by itself. What is ended, and how it is known that nobody beats beside the spare, stands in
`CONCURRENCY.md`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from services.heartbeat.sign import NEVER_NS, Reading, Sign, started_ticks

MS = 1_000_000
LOOK_NS = 5 * MS
"""Between looks at a promise that is broken."""
LOOKS_HUNG = 3
"""Looks in a row at which the promise was broken, and the same; each of them on time."""
IDLE_NS = 100 * MS
"""Between looks while nothing is promised, and the longest time between two at all."""
LATE_NS = 20 * MS
"""A look that is later than this says that this process did not run either: a stopped node, a stalled machine."""
SHARE_OF_TIMEOUT = 4
"""Of the shortest timeout, what the beating process may be late: the rest is left to notice, to end it and to beat."""
PATIENCE_NS_MIN = 30 * MS
"""More than a real-time thread waits for the interpreter, for a page or for the machine's host, save in trouble."""


class Judge:
    """Pure: says from looks, one after the other, whether the beating process hangs."""

    def __init__(self, started_ns: int) -> None:
        self.due_ns = started_ns
        """When to look next: when the promise of the last look would be broken."""
        self._promise_ns = NEVER_NS
        self._broken = 0

    def look(self, at_ns: int, reading: Reading) -> bool:
        """Return whether the process of `reading` has to be ended; `at_ns` is the monotonic time of the reading."""
        is_late = at_ns - self.due_ns > LATE_NS
        is_same = reading.promise_ns == self._promise_ns
        breaks_ns = reading.promise_ns + reading.patience_ns
        is_broken = reading.promise_ns != NEVER_NS and at_ns > breaks_ns
        self._promise_ns = reading.promise_ns
        self._broken = self._broken + 1 if is_broken and is_same and not is_late else 0
        wait_ns = IDLE_NS if reading.promise_ns == NEVER_NS else breaks_ns - at_ns
        self.due_ns = at_ns + max(LOOK_NS, min(IDLE_NS, wait_ns))
        return self._broken >= LOOKS_HUNG


def patience_ns(timeout_ms: int) -> int:
    """Return how late the beating process may be when the peer gives it so long a silence at most."""
    return max(PATIENCE_NS_MIN, timeout_ms * MS // SHARE_OF_TIMEOUT)


class Vigil:
    """Watches in a thread of its own, from `start` until `end`; the spare itself waits for the turn meanwhile."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vigil", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """The turn has come: nobody else beats."""
        self._is_over.set()

    def _watch(self) -> None:
        judge = Judge(time.monotonic_ns())
        while not self._is_over.wait(max(0, judge.due_ns - time.monotonic_ns()) / 1e9):
            reading = self._sign.read()
            if judge.look(time.monotonic_ns(), reading):
                end_hanging(reading)


def end_hanging(reading: Reading) -> None:
    """Kill the very process that gave the sign. One that has ended meanwhile is not confused with its number's heir."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(reading.pid)
        try:
            if reading.pid != os.getpid() and started_ticks(reading.pid) == reading.started:
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
