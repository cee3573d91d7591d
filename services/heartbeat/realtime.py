"""Makes this process punctual: memory locked, real-time scheduling, collector quiet. Each part may be refused."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import sys

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
"""sys/mman.h. ONFAULT locks pages as they are touched, so that memory shared with the supervisor stays shared."""
PRIORITY_BEATS = 10
"""Of 1 to 99; above all ordinary work, below the kernel's own threads (50)."""
PRIORITY_BUS = 9
"""Of the thread that talks to the bus: it may hold the interpreter, so it must run, but it never delays a beat."""
PRIORITY_PREPARE = 1
"""Of a process that only gets ready: some 100 ms of computing, before all ordinary work but after every beat."""
RUN_US_MAX = 2_000_000
"""A real-time process that computes so long without a pause is broken and is ended by the kernel (setrlimit(2))."""
NICE = -20
SWITCH_INTERVAL_S = 0.0005
"""How long the thread of beats waits at most for the interpreter while the other thread computes."""
COLLECT_THRESHOLD = 50_000


def become_punctual() -> None:
    """Do what this machine allows, for this thread and those that it starts later; its priority is PRIORITY_PREPARE."""
    with contextlib.suppress(OSError):
        # What is left where real-time scheduling is refused.
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (RUN_US_MAX, RUN_US_MAX + 1_000_000))
        set_priority(PRIORITY_PREPARE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_THRESHOLD, 20, 100)
    ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)


def set_priority(priority: int) -> None:
    """Set the real-time priority of the calling thread; threads that it starts inherit it."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
