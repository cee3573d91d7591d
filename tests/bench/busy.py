"""Busy loops: a bounded number of processes that compute for a bounded time, each in a session of its own.

Of its own, because the scheduler shares a core among sessions (autogroup, sched(7)): loops that stood in one session
would leave half of the machine to everybody else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOOPS_MAX = 64
SECONDS_MAX = 1800.0
_LOOP = """
import os, sys, time
os.setpriority(os.PRIO_PROCESS, 0, 0)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
"""


@contextmanager
def busy_loops(count: int, *, seconds_max: float) -> Iterator[None]:
    """Keep `count` loops computing until the context ends; each ends by itself after `seconds_max`."""
    if not 0 <= count <= LOOPS_MAX or not 0 < seconds_max <= SECONDS_MAX:
        raise ValueError(f"{count} loops for {seconds_max} s; at most {LOOPS_MAX} for {SECONDS_MAX:.0f} s")
    command = [sys.executable, "-S", "-c", _LOOP, str(seconds_max)]
    loops = []
    try:
        for _ in range(count):
            loops.append(subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL))
        yield
    finally:
        for loop in loops:
            loop.kill()
        for loop in loops:
            loop.wait()
