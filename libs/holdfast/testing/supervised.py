"""Tiny services for tests of the supervisor, told by their names how to behave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.service.notify import Notifier

BEAT_S = 0.05


def main(arguments: Sequence[str]) -> int:
    """A service whose name says how it behaves: `keeper` keeps a descriptor, `hanger` never renews its lease."""
    kind, _, instance = arguments[0].partition("@")
    notifier = Notifier()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    if kind == "keeper":
        _keep(notifier)
    if kind == "failing":
        return 3
    notifier.ready()
    while not stopped:
        if kind != "hanger":
            notifier.lease()
        time.sleep(BEAT_S)
    run_dir = Path(os.environ["HOLDFAST_RUN_DIR"])
    (run_dir / f"stopped-{kind}{instance}").write_text(str(time.monotonic_ns()))
    return 0


def _keep(notifier: Notifier) -> None:
    """Count the lives of this service in a file that exists only as a descriptor."""
    fd = notifier.take("count")
    if fd is None:
        fd = os.memfd_create("count")
        notifier.keep("count", fd)
    lives = int(os.pread(fd, 16, 0) or b"0") + 1
    os.pwrite(fd, b"%d" % lives, 0)
    (Path(os.environ["HOLDFAST_RUN_DIR"]) / "lives").write_text(str(lives))
