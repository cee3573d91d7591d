"""Crashes at random moments under PostgreSQL load: `python -m tests.cluster.campaign_postgresql --rounds 200 --seed 1`.

One client outside the nodes writes numbered rows through the virtual address during the whole campaign and notes
which were acknowledged; pgbench keeps the server busy beside it. Each round kills the primary at a random moment,
waits for the takeover, looks for every acknowledged row, brings the dead node back and, when both are in step again,
compares the copies. It prints one line per round and a verdict, and ends with exit code 1 at the first loss or
difference.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from holdfast.demo import database
from holdfast.demo.cluster import MODULE, NODES, Cluster
from holdfast.demo.customer import Customer
from holdfast.demo.record import judge
from holdfast.demo.writer import SCHEMA
from holdfast.errors import HoldfastError
from holdfast.lab.addressing import virtual_address
from holdfast.lab.lab import Lab
from holdfast.lab.place import kill_group

from tests.tidy.rules import ROOT

MOMENT_S_MAX = 3.0
"""Load before the crash: long enough to meet every stage of a commit, a checkpoint and a vacuum."""
STEADY_ROWS = 20
PGBENCH_CLIENTS = 4
PGBENCH_S = 20
"""Longer than a round's load; it ends by itself when the server dies."""
COMPARE_EVERY = 5
"""Rounds between two comparisons of all files, which take longer than a round."""


class Campaign:
    """A PostgreSQL mirror under load, which loses its primary again and again."""

    def __init__(self, cluster: Cluster, customer: Customer, source: random.Random, folder: Path) -> None:
        self._cluster = cluster
        self._customer = customer
        self._source = source
        self._folder = folder

    def round(self, *, compare: bool) -> str:
        """Run one round and return what happened, in words; raises AssertionError with what is wrong."""
        cluster = self._cluster
        primary = next(node for node in NODES if cluster.view(node).role == "PRIM")
        other = next(node for node in NODES if node != primary)
        link_up = self._source.random() < 0.5
        with self._pgbench():
            self._customer.wait_for_acks(STEADY_ROWS, after_ns=time.monotonic_ns())
            time.sleep(self._source.uniform(0, MOMENT_S_MAX))
            cluster.lab.node(primary).kill(link_up=link_up)
            cluster.wait_ready({other: "ALONE"})
        self._customer.wait_for_acks(STEADY_ROWS, after_ns=time.monotonic_ns())
        acked = self.assert_nothing_lost()
        cluster.lab.node(primary).start()
        cluster.lab.plug(primary)
        cluster.wait_ready({other: "PRIM", primary: "SECOND"})
        if compare:
            self._assert_equal(other)
        return f"{primary}'s {'processes' if link_up else 'machine'} killed, {acked} rows acknowledged so far"

    def assert_nothing_lost(self) -> int:
        """A row that is acknowledged while the list is read is not missed: the record is read first."""
        attempts = self._customer.attempts()
        found = database.rows(self._cluster.lab.client, self._cluster.address)
        last = max(attempt.row for attempt in attempts)
        judgement = judge(attempts, [row for row in found if row <= last])
        assert judgement.is_clean, f"lost {judgement.lost[:10]}, unasked {judgement.unasked[:10]}"
        return judgement.acked

    def _assert_equal(self, primary: str) -> None:
        words = ["holdfast", "rfsverify", "-m", MODULE]
        done = self._cluster.lab.node(primary).run(words, timeout_s=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def _pgbench(self) -> Iterator[None]:
        words = ["-n", "-c", str(PGBENCH_CLIENTS), "-T", str(PGBENCH_S), database.conninfo(self._cluster.address)]
        log = self._folder / "pgbench.log"
        process = self._cluster.lab.client.spawn([f"{database.PROGRAMS}/pgbench", *words], log=log)
        try:
            yield
        finally:
            kill_group(process)


def run(rounds: int, seed: int, *, keep: bool = False, name: str = "campaignpg") -> int:
    """Run the campaign in a lab of its own; return the number of acknowledged rows.

    With `keep` a failure leaves the lab running, to be looked at and ended with `holdfast lab down`.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as ending:
        lab = Lab.create(name, nodes=2, lans=2, command=("holdfast", "node", "run"))
        ending.callback(lab.down)
        cluster = Cluster(lab, virtual_address().ip)
        (Path(scratch) / "setup").mkdir()
        _set_up(cluster, Path(scratch) / "setup")
        customer = Customer.start(lab.client, cluster.address, Path(scratch))
        try:
            campaign = Campaign(cluster, customer, random.Random(seed), Path(scratch))
            for number in range(1, rounds + 1):
                compare = number % COMPARE_EVERY == 0 or number == rounds
                print(f"round {number}: {campaign.round(compare=compare)}", flush=True)
            customer.stop()
            return campaign.assert_nothing_lost()
        except (AssertionError, HoldfastError):
            if keep:
                ending.pop_all()
            raise
        finally:
            customer.kill()


def _set_up(cluster: Cluster, scratch: Path) -> None:
    cluster.configure(ROOT / "ops/modules" / MODULE, scratch)
    for node in NODES:
        database.prepare(cluster.lab.node(node))
    database.create(cluster.lab.node(NODES[0]))
    cluster.holdfast(NODES[0], "prim", "-m", MODULE)
    cluster.wait_ready({NODES[0]: "ALONE"})
    database.ask(cluster.lab.client, cluster.address, SCHEMA)
    pgbench = [f"{database.PROGRAMS}/pgbench", "-i", "-q", "-s", "2", database.conninfo(cluster.address)]
    cluster.lab.client.run(pgbench, timeout_s=120)
    cluster.holdfast(NODES[1], "second", "-m", MODULE)
    cluster.wait_ready({NODES[0]: "PRIM", NODES[1]: "SECOND"})


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="after a failure leave the lab running")
    options = parser.parse_args()
    try:
        total = run(options.rounds, options.seed, keep=options.keep)
    except (AssertionError, HoldfastError) as error:
        print(f"campaign: failed seed={options.seed}: {error} {getattr(error, 'hint', '')}")
        return 1
    print(f"campaign: ok rounds={options.rounds} seed={options.seed} acknowledged={total} lost=0 replicas=equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
