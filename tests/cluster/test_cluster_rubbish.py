"""Rubbish on every socket of a running pair: nothing changes, nothing grows, and the logs stay readable."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from holdfast.service.logs import BURST_MAX, WINDOW_S

from tests.cluster.mirror import MODULE, NODES, Mirror, mirror
from tests.tidy.rules import ROOT

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

ATTACK_S = 6
GROWTH_KIB_MAX = 48 << 10
"""Of one service: its buffers at their limits, and no more."""
WORDINGS_MAX = 6
"""Different things that one service has to say about rubbish; each is said BURST_MAX times in WINDOW_S at most."""
SERVICES = """
import json, socket
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
client.connect("/run/holdfast/supervisor.sock")
client.sendall(json.dumps({"request": "list"}).encode() + b"\\n")
found = {}
for each in json.loads(client.makefile().readline())["services"]:
    status = dict(line.split(":", 1) for line in open(f"/proc/{each['pid']}/status") if ":" in line)
    found[each["service"]] = [each["pid"], int(status["VmRSS"].split()[0])]
print(json.dumps(found))
"""
LINES = "cd /var/lib/holdfast/log && for f in *.log; do echo $f $(wc -l <$f); done"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    with mirror("rubbish", tmp_path_factory.mktemp("rubbish")) as made:
        yield made


def services(cluster: Mirror, node: str) -> dict[str, tuple[int, int]]:
    """Process number and resident KiB of every service."""
    told = json.loads(cluster.node(node).run(["python3", "-c", SERVICES]).stdout)
    return {name: (int(pid), int(resident)) for name, (pid, resident) in told.items()}


def log_lines(cluster: Mirror, node: str) -> dict[str, int]:
    told = cluster.node(node).run(["sh", "-c", LINES]).stdout.split("\n")
    return {name: int(count) for name, count in (line.split() for line in told if line)}


def states(cluster: Mirror, node: str) -> list[dict[str, object]]:
    """What the module has been on a node, without numbers that count."""
    told = json.loads(cluster.holdfast(node, "timeline", "-m", MODULE, "-s", "2000", "--json").stdout)
    return [entry["fields"] for entry in told if entry["name"] == "state.changed"]


def attack(
    cluster: Mirror, attacker: str, seed: int, where: str, *, ports: str = "", seconds: int = ATTACK_S
) -> list[list[object]]:
    """Attack one node from another (or itself); return the targets. No seconds: only find them."""
    words = ["env", f"PYTHONPATH={ROOT}", "python", "-m", "tests.cluster.rubbish", str(seconds), str(seed), where]
    done = cluster.node(attacker).run(words, stdin=ports, timeout_s=120)
    found: list[list[object]] = json.loads(done.stdout)
    return found


def assert_unmoved(
    cluster: Mirror, before: dict[str, dict[str, tuple[int, int]]], lines: dict[str, int], began: float
) -> None:
    """Roles, processes, memory and logs of both nodes, after an attack on node1."""
    assert {name: cluster.role(name) for name in NODES} == {
        "node1": ("PRIM", "Ready"),
        "node2": ("SECOND", "Ready"),
    }
    for node in NODES:
        now = services(cluster, node)
        assert {name: pid for name, (pid, _) in now.items()} == {name: pid for name, (pid, _) in before[node].items()}
        growth = {name: resident - before[node][name][1] for name, (_, resident) in now.items()}
        assert max(growth.values()) < GROWTH_KIB_MAX, growth
    added = {name: count - lines.get(name, 0) for name, count in log_lines(cluster, "node1").items()}
    print("log records added:", {name: count for name, count in added.items() if count})
    windows = (time.monotonic() - began) / WINDOW_S + 1
    assert max(added.values()) <= WORDINGS_MAX * BURST_MAX * windows, added


def test_rubbish_on_every_socket_of_a_node_changes_nothing(cluster: Mirror) -> None:
    """From the node itself, where every socket can be reached."""
    before = {node: services(cluster, node) for node in NODES}
    began = time.monotonic()
    lines, past = log_lines(cluster, "node1"), {node: states(cluster, node) for node in NODES}
    hit = attack(cluster, "node1", 1, "here")
    print("targets:", hit)
    kinds = {str(kind) for kind, _place, count in hit if count}
    assert kinds == {"tcp", "udp", "stream", "datagram"}
    assert all(count for _kind, _place, count in hit), hit
    assert_unmoved(cluster, before, lines, began)
    assert {node: states(cluster, node) for node in NODES} == past


@pytest.mark.parametrize("lan", ["lan1", "lan2"])
def test_rubbish_from_the_network_changes_nothing(cluster: Mirror, lan: str) -> None:
    """From the peer's address, on the ports that are open to it: beats, lifeline, replication."""
    before = {node: services(cluster, node) for node in NODES}
    began = time.monotonic()
    lines, past = log_lines(cluster, "node1"), {node: states(cluster, node) for node in NODES}
    own = attack(cluster, "node1", 2, "here", seconds=0)
    ports = sorted(
        {(str(kind), int(str(place).rpartition(":")[2])) for kind, place, _ in own if kind in ("tcp", "udp")}
    )
    hit = attack(cluster, "node2", 3, str(cluster.node("node1").ipv4(lan)), ports=json.dumps(ports))
    print("targets:", hit)
    assert {str(kind) for kind, _place, count in hit if count} == {"tcp", "udp"}
    assert_unmoved(cluster, before, lines, began)
    assert {node: states(cluster, node) for node in NODES} == past


def test_the_pair_still_works_afterwards(cluster: Mirror) -> None:
    """Replication and commands do what they did before."""
    target = cluster.node("node1").root / "var/lib/app/after-rubbish"
    target.write_text("written afterwards")
    cluster.holdfast("node1", "swap", "-m", MODULE)
    cluster.wait_pair("node2")
    assert cluster.files("node2", "/var/lib/app")["after-rubbish"] == b"written afterwards"
    assert cluster.verify()["equal"] is True
