"""`make bench`: every benchmark, one after the other, each figure beside its peer of the same run."""

from __future__ import annotations

import subprocess
import sys

PARTS = (
    ("tests.bench.node_cost",),
    ("tests.bench.outage", "--runs", "10"),
    ("tests.bench.detection",),
    ("tests.bench.service_restart",),
    ("tests.bench.false_takeover",),
    ("tests.bench.rfs_local",),
    ("tests.bench.rfs_replicated",),
    ("tests.bench.resync",),
)


def main() -> int:
    """Run every part even when one fails; return 1 when any did."""
    codes = [subprocess.run([sys.executable, "-m", *part], check=False).returncode for part in PARTS]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
