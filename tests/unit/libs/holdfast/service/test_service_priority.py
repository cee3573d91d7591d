"""Preferred services get a session of their own, because the kernel may schedule by session."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os
from holdfast.service.priority import TAKEOVER_NICE, prefer_for_takeover
allowed = prefer_for_takeover()
print(allowed, os.getpriority(os.PRIO_PROCESS, 0) == TAKEOVER_NICE, os.getsid(0) == os.getpid())
"""


def test_a_preferred_process_is_nicer_and_leads_a_session_or_nothing_changes_where_that_is_not_allowed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() in (["True", "True", "True"], ["False", "False", "False"])
