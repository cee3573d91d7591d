"""A campaign of crashes at random moments: `python -m tests.cluster.campaign --rounds 200 --seed 1`.

Each round runs the file workload on the primary, kills that node at a random moment, waits for the takeover, judges
what was acknowledged on the new primary, brings the dead node back and compares both copies. It prints one line per
round and a verdict, and ends with exit code 1 at the first loss or difference. A round takes about ten seconds, so a
long campaign is run by hand; `make test` runs a short one.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.mirror import NODES, Mirror, mirror
from tests.cluster.workload import FOLDER, file_workload, wait_progress

MOMENT_S_MAX = 3.0
"""Workload before the crash, beyond its first operations: long enough to meet every stage of an operation."""


def crash_round(cluster: Mirror, folder: Path, source: random.Random, *, link_up: bool) -> int:
    """Run one round; return how many operations had been acknowledged. Raises AssertionError with what is wrong."""
    primary = next(name for name in NODES if cluster.role(name)[0] == "PRIM")
    other = next(name for name in NODES if name != primary)
    shutil.rmtree(cluster.node(primary).root / FOLDER.lstrip("/"), ignore_errors=True)
    record = folder / "record"
    with file_workload(cluster, primary, record, seed=source.randrange(1 << 30)) as workload:
        wait_progress(cluster, workload, 5)
        time.sleep(source.uniform(0, MOMENT_S_MAX))
        cluster.node(primary).kill(link_up=link_up)
        cluster.wait_role(other, "ALONE")
        losses = workload.losses(cluster, other)
        assert losses == [], losses
        acknowledged = workload.acknowledged
    cluster.node(primary).start()
    cluster.lab.plug(primary)
    cluster.wait_pair(other, timeout_s=120)
    result = cluster.verify()
    assert result["equal"] is True, result
    return acknowledged


def run(rounds: int, seed: int, name: str = "campaign") -> int:
    """Run the campaign in a lab of its own; return the number of acknowledged operations."""
    source = random.Random(seed)
    total = 0
    with tempfile.TemporaryDirectory() as folder, mirror(name, Path(folder)) as cluster:
        for number in range(1, rounds + 1):
            link_up = source.random() < 0.5
            acknowledged = crash_round(cluster, Path(folder), source, link_up=link_up)
            total += acknowledged
            print(
                f"round {number}: {'processes' if link_up else 'node'} killed, {acknowledged} acknowledged", flush=True
            )
    return total


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        total = run(options.rounds, options.seed)
    except AssertionError as error:
        print(f"campaign: failed seed={options.seed}: {error}")
        return 1
    print(f"campaign: ok rounds={options.rounds} seed={options.seed} acknowledged={total} lost=0 replicas=equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
