"""Whole nodes, real faults, and a judge who compares what was acknowledged with what is there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.lab.place import kill_group

from tests.cluster.mirror import DATA, MODULE, NODES, Mirror, mirror
from tests.cluster.workload import FOLDER, file_workload, wait_progress

NOISE = f"""
import http.client, json, socket
class Gateway(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/holdfast/gateway.sock")
gateway = Gateway("node")
for number in range(20_000):
    body = json.dumps({{"value": ("up", "down")[number % 2]}})
    kind = {{"content-type": "application/json"}}
    gateway.request("PUT", "/api/v1/modules/{MODULE}/resources/custom.noise", body, kind)
    gateway.getresponse().read()
"""
"""Has a node record thousands of events."""
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """One cluster for this file; every test begins with node1 PRIM and node2 SECOND."""
    with mirror("failover", tmp_path_factory.mktemp("failover")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Mirror) -> Mirror:
    """The cluster, brought back to node1 PRIM, node2 SECOND, everything healed, with no files of an earlier test."""
    shared.lab.heal()
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
        shared.holdfast("node2", "swap", "-m", "app")
        shared.wait_pair("node1")
    shutil.rmtree(shared.node("node1").root / FOLDER.lstrip("/"), ignore_errors=True)
    return shared


def assert_equal_replicas(cluster: Mirror) -> None:
    """Compare both copies byte for byte and attribute for attribute."""
    result = cluster.verify()
    assert result["equal"] is True, result


def test_the_secondary_takes_over_when_the_primary_dies_at_once(cluster: Mirror, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, and the dead node comes back as an equal secondary."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=1) as workload:
        wait_progress(cluster, workload, 200)
        cluster.node("node1").kill()
        cluster.wait_role("node2", "ALONE")
        assert workload.losses(cluster, "node2") == []
    cluster.node("node1").start()
    cluster.wait_pair("node2")
    assert_equal_replicas(cluster)


def test_a_swap_exchanges_the_roles_and_loses_nothing(cluster: Mirror, tmp_path: Path) -> None:
    """The old primary is an equal secondary at once."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=2) as workload:
        wait_progress(cluster, workload, 100)
    cluster.holdfast("node1", "swap", "-m", "app")
    cluster.wait_pair("node2")
    assert workload.losses(cluster, "node2") == []
    assert_equal_replicas(cluster)


@pytest.mark.parametrize("node", NODES)
def test_no_death_of_a_service_moves_a_role_or_fails_a_write(cluster: Mirror, tmp_path: Path, node: str) -> None:
    """Every service of a node is killed in turn under load; the work goes on."""
    services = ["nats-server", "heartbeat", "statemachine", "scripts", "vip", "rfs@app", "checker-process", "gateway"]
    with file_workload(cluster, "node1", tmp_path / "record", seed=3) as workload:
        wait_progress(cluster, workload, 50)
        for service in services:
            assert cluster.node(node).kill_service(service), service
            wait_progress(cluster, workload, 50)
            cluster.wait_pair("node1", timeout_s=30)
    assert workload.losses(cluster, "node1") == []
    assert cluster.state("node1")["epoch"] == cluster.state("node2")["epoch"]
    assert_equal_replicas(cluster)


def test_replication_cut_then_primary_killed_loses_nothing(cluster: Mirror, tmp_path: Path) -> None:
    """The primary went on alone, so the outdated secondary waits for it rather than serve old data."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=4) as workload:
        wait_progress(cluster, workload, 100)
        cluster.lab.cut("node2", lan="lan2")
        # Far less than TCP's own patience, far more than the heartbeat's: applications wait until then.
        cluster.wait_role("node1", "ALONE", timeout_s=20)
        wait_progress(cluster, workload, 100)
        cluster.node("node1").kill()
    time.sleep(2)  # the time in which a wrong takeover would happen
    assert cluster.role("node2")[0] == "WAIT"
    cluster.wait_for("node2 waits for the newer copy", lambda: cluster.role("node2") == ("WAIT", "NotReady"))
    cluster.lab.heal()
    cluster.node("node1").start()
    cluster.wait_pair("node1")
    assert workload.losses(cluster, "node1") == []
    assert_equal_replicas(cluster)


def test_both_nodes_killed_and_started_in_either_order(cluster: Mirror, tmp_path: Path) -> None:
    """The first one back waits for the other, then the former primary is primary again."""
    for order in (("node1", "node2"), ("node2", "node1")):
        with file_workload(cluster, "node1", tmp_path / f"record-{order[0]}", seed=5) as workload:
            wait_progress(cluster, workload, 50)
            for name in NODES:
                cluster.node(name).kill()
        cluster.node(order[0]).start()
        cluster.wait_answers(order[0])
        assert cluster.role(order[0])[0] == "WAIT"
        cluster.node(order[1]).start()
        cluster.wait_pair("node1")
        assert workload.losses(cluster, "node1") == []
        assert_equal_replicas(cluster)
        shutil.rmtree(cluster.node("node1").root / FOLDER.lstrip("/"))


def test_a_secondary_leaves_before_it_can_record_nothing_more(cluster: Mirror) -> None:
    """Nothing is replicated; only the records run out of room. The primary must not wait for a record that fails."""
    node = cluster.node("node2")
    node.fill_disk()
    try:
        with node.popen(["python3", "-c", NOISE]) as making_noise:
            cluster.wait_role("node1", "ALONE", timeout_s=120)
            kill_group(making_noise)
        assert cluster.role("node2")[0] == "WAIT"
        assert "disk_full" in str(cluster.state("node2")["reason"])
        cluster.node("node1").run(["touch", f"{DATA}/written"], timeout_s=10)
    finally:
        node.free_disk()
    cluster.wait_pair("node1")
    assert_equal_replicas(cluster)


def test_a_primary_that_was_stopped_for_five_seconds_steps_down(cluster: Mirror, tmp_path: Path) -> None:
    """A stalled node comes back to a world that went on, and gives way with nothing lost."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=6) as workload:
        wait_progress(cluster, workload, 100)
        cluster.node("node1").pause()
        cluster.wait_role("node2", "ALONE")
        time.sleep(3)
        cluster.node("node1").resume()
        cluster.wait_pair("node2")
    assert workload.losses(cluster, "node2") == []
    assert_equal_replicas(cluster)


def test_all_networks_cut_and_healed_leaves_one_primary_and_keeps_the_losers_files(
    cluster: Mirror, tmp_path: Path
) -> None:
    """Without a witness both go on; one steps down afterwards and what only it had is kept."""
    with file_workload(cluster, "node1", tmp_path / "record", seed=7) as workload:
        wait_progress(cluster, workload, 50)
        cluster.lab.cut("node2")
        cluster.wait_role("node1", "ALONE")
        cluster.wait_role("node2", "ALONE")
        wait_progress(cluster, workload, 50)
        only_there = cluster.node("node2").root / f"{FOLDER.lstrip('/')}/only-on-node2"
        only_there.write_text("kept")
        cluster.lab.heal()
        cluster.wait_pair("node1")
    assert workload.losses(cluster, "node1") == []
    kept = list((cluster.node("node2").root / "var/lib/holdfast/modules/app/rfs").rglob("only-on-node2"))
    assert [path.read_text() for path in kept] == ["kept"]
    assert_equal_replicas(cluster)


def test_a_full_disk_of_the_secondary_does_not_stop_the_primary(cluster: Mirror, tmp_path: Path) -> None:
    """The primary goes on alone; the secondary says why, and is resynchronised when there is room again."""
    cluster.node("node2").fill_disk()
    big = f"{DATA}/big"
    with file_workload(cluster, "node1", tmp_path / "record", seed=8) as workload:
        # More than node2 frees by itself when it takes its notes together; the workload alone removes as it writes.
        cluster.node("node1").run(["dd", "if=/dev/urandom", f"of={big}", "bs=1M", "count=128"], timeout_s=120)
        cluster.wait_role("node1", "ALONE")
        wait_progress(cluster, workload, 100)
    cluster.node("node1").run(["rm", big])
    cluster.node("node2").free_disk()
    cluster.wait_pair("node1")
    assert workload.losses(cluster, "node1") == []
    assert_equal_replicas(cluster)
