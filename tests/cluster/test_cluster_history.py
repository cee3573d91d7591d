"""What both nodes recorded of a real failover: replayed, merged, and found out when it was altered."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from holdfast.history.replay import ReplayReport, replay
from holdfast.history.timeline import STATE_CHANGED
from holdfast.journal.sql import SqlJournal

from tests.cluster.mirror import MODULE, NODES, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

JOURNAL = f"/var/lib/holdfast/modules/{MODULE}/journal.db"
BACKUP = "import sqlite3, sys; a, b = map(sqlite3.connect, sys.argv[1:]); a.backup(b); b.close()"


@dataclass(frozen=True, kw_only=True)
class Past:
    """A cluster whose node1 was killed and has come back, and a copy of each node's journal after that."""

    cluster: Mirror
    journals: dict[str, Path]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("history")
    with mirror("history", folder / "setup") as cluster:
        cluster.node("node1").kill()
        cluster.wait_role("node2", "ALONE")
        cluster.node("node1").start()
        cluster.wait_pair("node2")
        journals = {name: folder / f"{name}.db" for name in NODES}
        for name, copy in journals.items():
            cluster.node(name).run(["python3", "-c", BACKUP, JOURNAL, "/root/copy.db"])
            shutil.copy2(cluster.node(name).root / "root/copy.db", copy)
        yield Past(cluster=cluster, journals=journals)


def replayed(path: Path) -> ReplayReport:
    with closing(SqlJournal(path, read_only=True)) as journal:
        return replay(journal)


def sequence_of(path: Path, name: str) -> int:
    """The number of the last event of this name."""
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT max(sequence) FROM events WHERE type = ?", (name,)).fetchone()
    return int(row[0])


def altered(past: Past, folder: Path, statement: str, sequence: int) -> Path:
    """A copy of node2's journal in which somebody changed something about one event."""
    copy = folder / "altered.db"
    shutil.copy2(past.journals["node2"], copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        assert connection.execute(statement, (sequence,)).rowcount
    return copy


@pytest.mark.parametrize("node", NODES)
def test_every_decision_of_a_failover_comes_out_again(past: Past, node: str) -> None:
    """Asked on the node itself while it works."""
    done = past.cluster.holdfast(node, "replay", "-m", MODULE, "--json")
    report = json.loads(done.stdout)
    assert (report["differences"], report["broken"]) == ([], "")
    assert report["decisions"] == report["events"] > 0
    roles = [change["role"] for change in report["transitions"]]
    assert roles[-1] == {"node1": "SECOND", "node2": "PRIM"}[node]
    assert "ALONE" in roles


def test_an_edited_journal_is_reported_at_the_event(past: Past, tmp_path: Path) -> None:
    lost = sequence_of(past.journals["node2"], "peer.lost")
    edit = """UPDATE events SET payload = replace(payload, '"reason":"', '"reason":"not ') WHERE sequence = ?"""
    copy = altered(past, tmp_path, edit, lost)
    report = replayed(copy)
    assert report.broken_at == lost
    assert f"event {lost} (peer.lost" in report.broken
    words = ("replay", "-m", MODULE, "--journal", "/root/altered.db")
    past.cluster.node("node2").copy_in(copy, "/root/altered.db")
    told = past.cluster.holdfast("node2", *words, check=False)
    assert told.returncode == 10
    assert f"the journal is broken at event {lost}" in told.stdout


def test_a_truncated_journal_is_reported_at_the_first_missing_event(past: Past, tmp_path: Path) -> None:
    lost = sequence_of(past.journals["node2"], "peer.lost")
    copy = altered(past, tmp_path, "DELETE FROM events WHERE sequence > ?", lost)
    report = replayed(copy)
    assert report.broken_at == lost + 1
    assert report.events == lost
    assert report.differences == ()


def test_an_event_taken_out_of_the_middle_is_missed(past: Past, tmp_path: Path) -> None:
    lost = sequence_of(past.journals["node2"], "peer.lost")
    report = replayed(altered(past, tmp_path, "DELETE FROM events WHERE sequence = ?", lost))
    assert report.broken_at == lost


def test_the_timeline_tells_what_both_nodes_did_in_one_order(past: Past) -> None:
    past.cluster.node("node2").copy_in(past.journals["node1"], "/root/node1.db")
    words = ("timeline", "-m", MODULE, "--journal", "/root/node1.db", "-s", "2000")
    merged = json.loads(past.cluster.holdfast("node2", *words, "--json").stdout)
    assert {entry["node"] for entry in merged} == set(NODES)
    times = [(entry["hybrid"]["wall_ms"], entry["hybrid"]["counter"]) for entry in merged]
    assert times == sorted(times)
    told = [(entry["node"], entry["name"], entry["fields"].get("role")) for entry in merged]
    lost = max(place for place, (node, name, _) in enumerate(told) if (node, name) == ("node2", "peer.lost"))
    alone = told.index(("node2", STATE_CHANGED, "ALONE"), lost)
    back = told.index(("node1", STATE_CHANGED, "SECOND"), alone)
    assert lost < alone < back
    assert merged[alone]["caused_by"]
    text = past.cluster.holdfast("node2", *words).stdout
    assert "peer lost: " in text
    assert "ALONE Ready: " in text


def test_one_failover_is_one_trace_with_its_services(past: Past) -> None:
    listed = json.loads(past.cluster.holdfast("node2", "trace", "--list", "-m", MODULE, "--json").stdout)
    takeover = next(each for each in listed if each["name"] in ("silence", "SECOND to ALONE"))
    spans = json.loads(past.cluster.holdfast("node2", "trace", takeover["trace_id"], "--json").stdout)
    names = {(span["service"], span["name"]) for span in spans}
    assert {
        ("node2/heartbeat", "silence"),
        ("node2/statemachine", "SECOND to ALONE"),
        (f"node2/rfs@{MODULE}", "replicate as primary, alone"),
        ("node2/vip", "take addresses"),
        ("node2/scripts", "script start_prim"),
    } <= names
