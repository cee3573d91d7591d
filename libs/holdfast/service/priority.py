"""Which services the scheduler prefers: those that clients wait for in a takeover."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

TAKEOVER_NICE = -15
"""Above the application that was just started at full speed, below the heartbeat. Each of these services works for
some milliseconds and then sleeps; without preference it would queue behind every busy process for each of them."""
AUTOGROUP = Path("/proc/self/autogroup")


def prefer(nice: int) -> bool:
    """Raise the priority of this process as far as the machine allows; say whether it was. Threads made later inherit.

    Where the kernel schedules by session (sched(7), autogroup), a niceness counts only within one: the process gets a
    session of its own, and the session the niceness. What it starts stays in it until it calls setsid(2) itself.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        os.setsid()
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            AUTOGROUP.write_text(str(nice))
    return True


def prefer_for_takeover() -> bool:
    """`prefer` for a service that stands between a fault and the first answer."""
    return prefer(TAKEOVER_NICE)
