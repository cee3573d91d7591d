"""What an idle node costs: memory of all its processes (PSS) and processor time, with one mirror module in step.

PSS shares a page's size among all processes that map it; pages that the two nodes of the lab share (the interpreter's
own files) count half for each, so a single machine reads somewhat higher than this.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.cluster.mirror import NODES, Mirror, mirror

WATCHED_S = 20.0


def pss_mb(pids: set[int]) -> float:
    """Return the proportional set size of the processes together, in MiB (proc_pid_smaps_rollup)."""
    total_kb = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total_kb += int(line.split()[1])
    return total_kb / 1024


def ticks(pids: set[int]) -> int:
    """Return user and system clock ticks used so far (proc_pid_stat fields 14 and 15)."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def measure(cluster: Mirror) -> None:
    """Print one line for each node."""
    time.sleep(3)
    pids = {name: cluster.node(name).pids for name in NODES}
    before = {name: ticks(pids[name]) for name in NODES}
    time.sleep(WATCHED_S)
    for name in NODES:
        share = (ticks(pids[name]) - before[name]) / os.sysconf("SC_CLK_TCK") / WATCHED_S * 100
        role = cluster.role(name)[0]
        print(
            f"node idle {role:<7} {pss_mb(pids[name]):6.0f} MB PSS (at most 400)  {share:4.1f} % of a core (at most 3)"
        )


def main() -> None:
    """Measure in a lab of its own."""
    with tempfile.TemporaryDirectory() as folder, mirror("cost", Path(folder)) as cluster:
        measure(cluster)


if __name__ == "__main__":
    main()
