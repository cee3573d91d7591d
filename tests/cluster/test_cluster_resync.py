"""Faults in the middle of a resync, and a primary without room: whole nodes, a file workload, and its judge."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.mirror import DATA, MODULE, NODES, Mirror, mirror, userconfig
from tests.cluster.workload import FOLDER, Workload, file_workload, wait_progress

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

BULK = f"{DATA}/bulk"
BULK_FILES = 32
BULK_FILE_BYTES = 1 << 20
RESYNC_KIB_PER_S = 6000
"""Slows a resync of the bulk down to some seconds, in which faults can be placed."""
FOREVER_S = 5.0
"""What must not happen is looked out for this long: several times the heartbeat's timeout."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """One cluster for this file, whose resync takes its time."""
    slow = userconfig().replace("<rfs>", f'<rfs reiallowedbw="{RESYNC_KIB_PER_S}">')
    with mirror("resync", tmp_path_factory.mktemp("resync"), configuration=slow) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Mirror) -> Mirror:
    """The cluster, brought back to node1 PRIM, node2 SECOND, with no files of an earlier test."""
    for name in NODES:
        shared.lab.plug(name)
        if shared.node(name).condition() == "off":
            shared.node(name).start()
    shared.wait_for(
        "both nodes ready",
        lambda: {shared.role(n) for n in NODES} == {("PRIM", "Ready"), ("SECOND", "Ready")},
        timeout_s=120,
    )
    if shared.role("node2")[0] == "PRIM":
        shared.holdfast("node2", "swap", "-m", MODULE)
        shared.wait_pair("node1")
    for folder in (FOLDER, BULK):
        shutil.rmtree(shared.node("node1").root / folder.lstrip("/"), ignore_errors=True)
    return shared


def assert_equal_replicas(cluster: Mirror) -> None:
    """Compare both copies byte for byte and attribute for attribute."""
    result = cluster.verify()
    assert result["equal"] is True, json.dumps(result, indent=1)


def write_bulk(cluster: Mirror, seed: int) -> None:
    """Change so much on node1, as an application does, that its resync takes some seconds."""
    folder = cluster.node("node1").root / BULK.lstrip("/")
    folder.mkdir(exist_ok=True)
    source = random.Random(seed)
    for number in range(BULK_FILES):
        (folder / f"bulk-{number}").write_bytes(source.randbytes(BULK_FILE_BYTES))


def wait_resync_under_way(cluster: Mirror) -> None:
    """Wait until some of the bulk has been copied, and see that not all of it has."""
    progress: dict[str, int] = {}

    def is_under_way() -> bool:
        replication = cluster.state("node1").get("replication")
        if not isinstance(replication, dict) or not replication["resyncing"]:
            return False
        progress.update(replication["progress"])
        return progress["bytes_done"] > BULK_FILE_BYTES

    cluster.wait_for("a resync is under way", is_under_way)
    assert progress["bytes_done"] < progress["bytes_total"]


def begin_resync(cluster: Mirror, workload: Workload, seed: int) -> None:
    """Have node2 miss the bulk and some of the workload, come back, and be in the middle of its resync."""
    wait_progress(cluster, workload, 20)
    cluster.node("node2").kill()
    cluster.wait_role("node1", "ALONE")
    write_bulk(cluster, seed)
    wait_progress(cluster, workload, 20)
    cluster.node("node2").start()
    cluster.lab.plug("node2")
    wait_resync_under_way(cluster)


def assert_stays(cluster: Mirror, **roles: str) -> None:
    """Look for FOREVER_S whether a node ever leaves its role.

    A look may go without an answer while a disk that was just filled is still being written: no role was left by that.
    """
    end = time.monotonic() + FOREVER_S
    while time.monotonic() < end:
        for node, role in roles.items():
            cluster.wait_answers(node)
            state = cluster.state(node)
            assert state.get("role", role) == role, state


@pytest.mark.parametrize("seed", [11, 12])
def test_a_secondary_killed_in_the_middle_of_a_resync_ends_equal(cluster: Mirror, tmp_path: Path, seed: int) -> None:
    """The primary stays alone and working; the next resync does what is left."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=seed) as workload:
        begin_resync(cluster, workload, seed)
        cluster.node("node2").kill()
        wait_progress(cluster, workload, 20)
        assert cluster.role("node1") == ("ALONE", "Ready")
        cluster.node("node2").start()
        cluster.lab.plug("node2")
        cluster.wait_pair("node1")
    assert workload.losses(cluster, "node1") == []
    assert_equal_replicas(cluster)


@pytest.mark.parametrize("seed", [21, 22])
def test_a_secondary_does_not_promote_when_the_primary_dies_during_a_resync(
    cluster: Mirror, tmp_path: Path, seed: int
) -> None:
    """Its copy is neither the old nor the new one, so it waits, and says for what."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=seed) as workload:
        begin_resync(cluster, workload, seed)
        cluster.node("node1").kill()
        cluster.wait_for("node2 waits", lambda: cluster.role("node2") == ("WAIT", "NotReady"))
        assert_stays(cluster, node2="WAIT")
        state = cluster.state("node2")
        assert state["copy"] != "uptodate", state
        assert "before this copy was in step" in str(state["reason"]), state["reason"]
    cluster.node("node1").start()
    cluster.lab.plug("node1")
    cluster.wait_pair("node1")
    assert workload.losses(cluster, "node1") == []
    assert_equal_replicas(cluster)


@pytest.mark.parametrize("seed", [31, 32])
def test_replication_killed_on_both_sides_in_turn_during_a_resync(cluster: Mirror, tmp_path: Path, seed: int) -> None:
    """No write fails, the resync begins again with what is left, and comes to its end."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=seed) as workload:
        begin_resync(cluster, workload, seed)
        for node in ("node1", "node2", "node2", "node1"):
            assert cluster.node(node).kill_service(f"rfs@{MODULE}"), node
            wait_progress(cluster, workload, 5)
        cluster.wait_pair("node1")
        wait_progress(cluster, workload, 20)
    assert workload.losses(cluster, "node1") == []
    assert_equal_replicas(cluster)


def test_a_full_disk_of_the_primary_fails_writes_and_nothing_else(cluster: Mirror, tmp_path: Path) -> None:
    """Applications get ENOSPC; roles, services and the secondary stay, and all goes on when there is room again."""
    record = tmp_path / "record"
    node = cluster.node("node1")

    def is_told() -> bool:
        """Fill again what has been freed since the last look: the workload also unlinks."""
        node.fill_disk()
        return "No space left on device" in record.read_text()

    with file_workload(cluster, "node1", record, seed=41) as workload:
        wait_progress(cluster, workload, 20)
        cluster.wait_for("a writer gets ENOSPC", is_told)
    assert_stays(cluster, node1="PRIM", node2="SECOND")
    (node.root / FOLDER.lstrip("/") / "empty").touch()
    node.free_disk()
    cluster.wait_pair("node1")
    (node.root / FOLDER.lstrip("/") / "empty").unlink()
    assert workload.losses(cluster, "node1") == []
    (node.root / FOLDER.lstrip("/") / "after").write_bytes(b"there is room again")
    assert_equal_replicas(cluster)


@pytest.mark.parametrize("node", NODES)
def test_the_copies_are_compared_from_either_node(cluster: Mirror, tmp_path: Path, node: str) -> None:
    """The answer is the same, also when there is a difference to find."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=51) as workload:
        wait_progress(cluster, workload, 20)
    done = cluster.holdfast(node, "rfsverify", "-m", MODULE, "--json")
    assert json.loads(done.stdout)["equal"] is True
    assert json.loads(done.stdout)["files"] > 0
