"""The log files of script runs: their names, and how many are kept."""

from __future__ import annotations

import time
from pathlib import Path

LOGS_KEPT = 100
"""Per module: some twenty starts and stops with all their scripts."""
LOGS_BYTES_MAX = 32 << 20
"""Per module, together; the oldest go first."""


def log_name(script: str, at_wall_ns: int) -> str:
    """The model's name, `userlog_<date>T<time>_<script>.ulog`; UTC, with microseconds so that no two runs share one."""
    seconds, rest_ns = divmod(at_wall_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H%M%S", time.gmtime(seconds))
    return f"userlog_{stamp}.{rest_ns // 1000:06d}_{script.replace('/', '_')}.ulog"


def prune_logs(directory: Path) -> None:
    """Remove the oldest logs beyond LOGS_KEPT files or LOGS_BYTES_MAX bytes."""
    total = 0
    for place, path in enumerate(sorted(directory.glob("userlog_*.ulog"), reverse=True)):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
        if place >= LOGS_KEPT or total > LOGS_BYTES_MAX:
            path.unlink(missing_ok=True)
