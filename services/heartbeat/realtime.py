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
PRIORITY = 10
"""Of 1 to 99; above all ordinary work, below the kernel's own threads (50)."""
RUN_US_MAX = 2_000_000
"""A real-time process that computes so long without a pause is broken and is ended by the kernel (setrlimit(2))."""
NICE = -20
SWITCH_INTERVAL_S = 0.0005
"""How long the thread of beats waits at most for the interpreter while the other thread computes."""
COLLECT_THRESHOLD = 50_000


def become_punctual() -> dict[str, bool]:
    """Do what this machine allows; return which parts it allowed. Threads started later inherit it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_THRESHOLD, 20, 100)
    locked = ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (RUN_US_MAX, RUN_US_MAX + 1_000_000))
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        realtime = True
    except (OSError, ValueError):
        realtime = False
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
    return {"locked": locked, "realtime": realtime}
