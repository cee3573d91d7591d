"""What the demonstration tells the cluster, and how it reads the answers."""

from __future__ import annotations

from holdfast.config.parse import parse_cluster
from holdfast.demo.cluster import LANS, NODES, Progress, cluster_xml, comparison, progress
from holdfast.demo.screen import Screen
from holdfast.demo.story import Window, resync_of
from rich.console import Console


def test_cluster_configuration_names_every_node_on_every_lan() -> None:
    cluster = parse_cluster(cluster_xml(NODES, LANS).encode(), "cluster.xml")
    assert cluster.warnings == ()
    assert [[node.address for node in lan.nodes] for lan in cluster.lans] == [
        ["10.77.1.11", "10.77.1.12"],
        ["10.77.2.11", "10.77.2.12"],
    ]


def test_answer_of_a_comparison_is_read() -> None:
    result = {"files": 3, "bytes": 9, "equal": False, "differences": [{"path": "/b", "what": "x"}, {"path": "/a"}]}
    read = comparison("now", result, ("/a", "/b"))
    assert (read.files, read.bytes, read.differences) == (3, 9, ("/a", "/b"))
    assert read.is_right


def report(at_ns: int, kind: str, files: int, *, node: str = "node1", is_running: bool = True) -> Progress:
    """A primary's report about a resync."""
    return Progress(node=node, at_ns=at_ns, kind=kind, files=files, bytes=files * 10, is_running=is_running)


def test_a_resync_lasts_until_the_report_that_it_is_over() -> None:
    reports = (
        report(5, "full", 99),
        report(500_000_000, "difference", 0, is_running=False),
        report(1_000_000_000, "difference", 1),
        report(1_500_000_000, "difference", 4, node="node2"),
        report(3_000_000_000, "difference", 2, is_running=False),
        report(3_500_000_000, "difference", 2, is_running=False),
        report(9_000_000_000, "full", 99),
    )
    resync = resync_of("node2", reports, node="node1", window=Window(from_ns=10, to_ns=4_000_000_000))
    assert (resync.kind, resync.files, resync.bytes, resync.seconds) == ("difference", 2, 20, 2.0)


def test_resync_without_a_report_copied_nothing() -> None:
    resync = resync_of("node2", (), node="node1", window=Window(from_ns=0, to_ns=9))
    assert (resync.kind, resync.files, resync.bytes) == ("nothing to copy", 0, 0)


def test_progress_is_read_from_the_timeline() -> None:
    said = {"kind": "full", "files_done": 3, "bytes_done": 9}
    entry: dict[str, object] = {"node": "node1", "name": "replication.reported", "mono_ns": 7}
    entry["fields"] = {"progress": said, "resyncing": True}
    assert progress(entry) == Progress(node="node1", at_ns=7, kind="full", files=3, bytes=9, is_running=True)
    assert progress({**entry, "fields": {"progress": {**said, "kind": ""}}}) is None
    assert progress({**entry, "fields": {"reason": "silence"}}) is None


def test_piped_progress_is_plain_lines() -> None:
    console = Console(force_terminal=False, width=200)
    screen = Screen(console)
    with console.capture() as capture, screen.running():
        with screen.step("something is done"):
            pass
        screen.note("something is noted")
    lines = capture.get().splitlines()
    assert "… something is done" in lines[0]
    assert "✓ something is done" in lines[1]
    assert "· something is noted" in lines[2]
    assert "\x1b" not in capture.get()
