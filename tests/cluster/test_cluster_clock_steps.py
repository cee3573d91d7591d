"""A node's clock is stepped by an hour while it works: nothing that matters is measured with it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.mirror import DATA, MODULE, NODE_RUN, NODES, Mirror, mirror

pytestmark = pytest.mark.root

OFFSET_FILE = "/etc/faketimerc"
"""What libfaketime adds to the wall clock of every process of the node, read anew at every look at the clock."""
LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
SHIFTED = (
    "env",
    f"LD_PRELOAD={LIBRARY}",
    f"FAKETIME_TIMESTAMP_FILE={OFFSET_FILE}",
    "FAKETIME_NO_CACHE=1",
    # A step of the wall clock leaves the monotonic clock and the times of files alone.
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
    "NO_FAKE_STAT=1",
    *NODE_RUN,
)
HOUR_S = 3600
WRITER = f"i=0; while [ ! -e /tmp/enough ]; do i=$((i+1)); echo $i >>{DATA}/count || exit 1; sleep 0.02; done"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with mirror("clocks", tmp_path_factory.mktemp("clocks"), command=SHIFTED) as made:
        yield made


def step(cluster: Mirror, node: str, offset_s: int) -> None:
    place = cluster.node(node).root / OFFSET_FILE.lstrip("/")
    fresh = place.with_suffix(".new")
    fresh.write_text(f"{offset_s:+d}\n")
    fresh.replace(place)


def entries(cluster: Mirror, node: str) -> list[dict[str, object]]:
    done = cluster.holdfast(node, "timeline", "-A", "-m", MODULE, "-s", "1000", "--json")
    return list(json.loads(done.stdout))


def is_shifted(entry: dict[str, object], offset_s: int) -> bool:
    return abs(int(str(entry["wall_ns"])) / 1e9 - (time.time() + offset_s)) < HOUR_S / 6


def test_steps_of_an_hour_change_nothing_and_a_failover_still_works(cluster: Mirror) -> None:
    """Forward and back, on either node, under writes: no change of state; then a crash between two wrong clocks."""
    with cluster.node("node1").popen(["sh", "-c", WRITER]) as writer:
        stepped(cluster)
        assert writer.poll() is None, "the writer met an error"
        cluster.node("node1").kill()
    cluster.wait_role("node2", "ALONE")
    numbers = [int(line) for line in cluster.files("node2", DATA)["count"].split()]
    assert numbers == list(range(1, len(numbers) + 1))
    cluster.node("node1").start()
    cluster.wait_pair("node2")
    assert cluster.verify()["differences"] == []


def stepped(cluster: Mirror) -> None:
    before = {node: [e["id"] for e in entries(cluster, node) if e["name"] == "state.changed"] for node in NODES}
    for node, offset_s in (("node1", HOUR_S), ("node2", -HOUR_S), ("node1", -HOUR_S), ("node2", HOUR_S)):
        step(cluster, node, offset_s)
        cluster.holdfast(node, "set", "-m", MODULE, "-r", "custom.step", "-v", "up" if offset_s > 0 else "down")
        cluster.wait_for(
            "the step is in the journal",
            lambda node=node, offset_s=offset_s: is_shifted(entries(cluster, node)[-1], offset_s),  # type: ignore[misc]
        )
        assert [cluster.role(name) for name in NODES] == [("PRIM", "Ready"), ("SECOND", "Ready")]
    after = {node: [e["id"] for e in entries(cluster, node) if e["name"] == "state.changed"] for node in NODES}
    assert after == before
