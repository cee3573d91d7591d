"""The demonstration, as a newcomer runs it, but piped."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from holdfast.demo.__main__ import LAB
from holdfast.lab.addressing import lab_name
from holdfast.lab.lab import labs
from holdfast.lab.state import directory_of

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(560)]

DEMO_TIMEOUT_S = 500
LAST_LINE = re.compile(r"demo: ok outage_ms=[0-9]+ acked=[1-9][0-9]* lost=0 resync_bytes=[0-9]+ replicas=equal")
FAILOVER_ROW = re.compile(r"^ ?node1 killed +(?P<figures>.*)$", re.MULTILINE)
EXPLAINED_MIN = 90
"""Per cent of the outage that lies inside spans of the failover's trace."""


def test_the_demonstration_ends_with_its_verdict_and_leaves_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.demo"],
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert LAST_LINE.fullmatch(done.stdout.splitlines()[-1]), done.stdout
    assert "\x1b" not in done.stdout
    row = FAILOVER_ROW.search(done.stdout)
    assert row is not None, done.stdout
    *phases, explained = row["figures"].split()
    assert "–" not in phases, "a phase is missing in the trace"
    assert int(explained.rstrip("%")) >= EXPLAINED_MIN
    assert LAB not in [lab.name for lab in labs()]
    assert not directory_of(lab_name(LAB)).exists()
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=10, check=True).stdout
    assert LAB not in listed
