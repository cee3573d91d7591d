"""One trace tells a whole failover, to a collector outside as to `holdfast trace`, and it accounts for the outage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from holdfast.events.module import SpanEnded
from holdfast.history.trace import coverage, linked, merged
from holdfast.lab.lab import Lab
from holdfast.lab.place import kill_group

from tests.bench.probe import Gap, longest_gap, read_times
from tests.cluster.mirror import MODULE, NODES, PORT, VIRTUAL_ADDRESS, Mirror, mirror
from tests.otlp_collector import Received
from tests.tidy.rules import ROOT

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

COLLECTOR_PORT = 4318
EXPLAINED_MIN = 0.9
AWAIT_APPLICATION = f"""
until (exec 3<>/dev/tcp/127.0.0.1/{PORT}) 2>/dev/null; do sleep 0.005; done
"""
"""A start script that ends when the application serves, as it should: what follows a script is in no span."""
STORE = "/var/lib/holdfast/traces.db"
PROBE_S = 120


class Observed:
    """The cluster, what its collector has received, and what a client of the application sees."""

    def __init__(self, cluster: Mirror, folder: Path) -> None:
        self.cluster = cluster
        self.received_file = folder / "received"
        self._folder = folder

    def received(self) -> list[Received]:
        return [Received(**json.loads(line)) for line in self.received_file.read_text().splitlines()]

    def received_trace(self, name: str, node: str) -> list[Received]:
        """The spans of the newest trace in which this node reports a span of this name."""
        spans = self.received()
        trace = next(
            (span.trace_id for span in reversed(spans) if (span.name, span.node) == (name, node)), "none of this name"
        )
        return [span for span in spans if span.trace_id == trace]

    def wait_received(self, name: str, in_trace_of: str, node: str) -> None:
        """Wait until the collector has a span of this name in the trace in which the node reports another one."""
        self.cluster.wait_for(
            f"the collector has {name!r} in the trace of {in_trace_of!r}",
            lambda: any(span.name == name for span in self.received_trace(in_trace_of, node)),
        )

    def wait_equal(self, story: list[SpanEnded]) -> None:
        """Wait until the collector has every span that the nodes' own stores have of a trace."""
        wanted = {span.span_id for span in story}
        self.cluster.wait_for(
            "the collector has all of the trace", lambda: wanted <= {span.span_id for span in self.received()}
        )

    def outage(self, fault: Callable[[], object]) -> Gap:
        """Have a client ask every 5 ms; return the longest time without an answer, as instants of the wall clock."""
        out = self._folder / f"probe-{time.monotonic_ns()}"
        words = [sys.executable, "-m", "tests.bench.probe", VIRTUAL_ADDRESS, str(PORT), str(PROBE_S), str(out)]
        probe = self.cluster.lab.client.popen(["env", f"PYTHONPATH={ROOT}", *words])
        try:
            self.cluster.wait_for("the application answers", lambda: len(read_times(out)) > 50)
            begun_ns = time.monotonic_ns()
            fault()
            self.cluster.wait_for(
                "the application answers again", lambda: _is_over(read_times(out), begun_ns), timeout_s=PROBE_S
            )
        finally:
            kill_group(probe)
        gap = longest_gap(read_times(out), after_ns=begun_ns)
        offset_ns = time.time_ns() - time.monotonic_ns()
        return Gap(from_ns=gap.from_ns + offset_ns, to_ns=gap.to_ns + offset_ns)

    def trace_of(self, gap: Gap, node: str) -> list[SpanEnded]:
        """The trace that covers most of an outage, from both nodes' stores, as `holdfast trace` tells it on a node."""
        other = next(name for name in NODES if name != node)
        words = ["trace", "-m", MODULE, "--store", self._other_store(node, other), "--json"]
        listed = json.loads(self.cluster.holdfast(node, *words, "--list").stdout)
        overlap = {
            each["trace_id"]: min(each["end_wall_ns"], gap.to_ns) - max(each["start_wall_ns"], gap.from_ns)
            for each in listed
        }
        longest = max(overlap, key=lambda trace: overlap[trace])
        told = self.cluster.holdfast(node, "trace", longest, *words[3:])
        return merged([[SpanEnded(**fields) for fields in json.loads(told.stdout)]])

    def told(self, node: str, trace: str) -> str:
        other = next(name for name in NODES if name != node)
        return self.cluster.holdfast(node, "trace", trace, "--store", self._other_store(node, other)).stdout

    def _other_store(self, node: str, other: str) -> str:
        place = "/root/other-traces"
        target = self.cluster.node(node).root / place.lstrip("/")
        target.mkdir(exist_ok=True)
        for ending in ("", "-wal"):
            source = self.cluster.node(other).root / f"{STORE}{ending}".lstrip("/")
            if source.exists():
                shutil.copy2(source, target / f"traces.db{ending}")
        return f"{place}/traces.db"


def _is_over(times_ns: list[int], begun_ns: int) -> bool:
    """An outage has been seen, and answers come again for half a second."""
    if not times_ns or times_ns[-1] < begun_ns:
        return False
    gap = longest_gap(times_ns, after_ns=begun_ns)
    return gap.ms > 50 and times_ns[-1] - gap.to_ns > 500_000_000


def _await_application(cluster: Mirror, node: str) -> None:
    script = cluster.node(node).root / f"var/lib/holdfast/modules/{MODULE}/active/bin/start_prim"
    script.write_text(script.read_text().replace("#!/bin/sh", "#!/bin/bash") + AWAIT_APPLICATION)


def _export_to_client(cluster: Mirror, node: str) -> None:
    """Name the collector in the node's settings, and have the gateway read them."""
    settings = cluster.node(node).root / "etc/holdfast/node.toml"
    known = settings.read_text() if settings.exists() else ""
    settings.write_text(f'{known}\notlp_endpoint = "http://{cluster.lab.client.ipv4}:{COLLECTOR_PORT}"\n')
    assert cluster.node(node).kill_service("gateway")


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A pair that exports its spans to a collector beside the client, node1 PRIM and node2 SECOND."""
    folder = tmp_path_factory.mktemp("traces")
    with mirror("traces", folder / "setup") as cluster:
        found = Observed(cluster, folder)
        found.received_file.touch()
        collector = _start_collector(cluster.lab, found.received_file)
        try:
            for node in NODES:
                _await_application(cluster, node)
                _export_to_client(cluster, node)
            cluster.wait_pair("node1")
            yield found
        finally:
            kill_group(collector)


def _start_collector(lab: Lab, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.otlp_collector", str(lab.client.ipv4), str(COLLECTOR_PORT), str(out)]
    return lab.client.popen(["env", f"PYTHONPATH={ROOT}", *words])


def test_a_crash_and_the_return_are_one_trace_over_both_nodes(observed: Observed) -> None:
    """At the collector: every service that took part, on both nodes; the start of the dead node is linked to it."""
    cluster = observed.cluster
    gap = observed.outage(cluster.node("node1").kill)
    cluster.wait_role("node2", "ALONE")
    cluster.node("node1").start()
    cluster.wait_pair("node2")
    observed.wait_received("ALONE to PRIM", "SECOND to ALONE", "node2")
    observed.wait_received("resynchronisation", "SECOND to ALONE", "node2")
    story = observed.trace_of(gap, "node2")
    told = observed.told("node2", story[0].trace_id)
    print(f"client: {gap.ms:.0f} ms without an answer\n{told}")
    observed.wait_equal(story)
    spans = observed.received_trace("SECOND to ALONE", "node2")
    assert len({span.span_id for span in spans}) == len(spans)
    assert {
        ("node2", "heartbeat", "silence"),
        ("node2", "statemachine", "SECOND to ALONE"),
        ("node2", "rfs", "replicate as primary, alone"),
        ("node2", "vip", "take addresses"),
        ("node2", "scripts", "script start_prim"),
        ("node1", "statemachine", "resynchronisation"),
        ("node1", "rfs", "replicate as secondary"),
        ("node2", "statemachine", "ALONE to PRIM"),
    } <= {(span.node, span.service, span.name) for span in spans}
    began_apart = {link for span in spans for link in span.links}
    start = [span for span in observed.received() if span.trace_id in began_apart]
    assert {(span.node, span.service) for span in start} <= {("node1", "statemachine")}
    assert set(linked(story)) == began_apart
    assert all(f"(linked: {trace[:8]})" in told for trace in began_apart)
    assert_explained(story, gap, told)


def assert_explained(story: list[SpanEnded], gap: Gap, told: str) -> None:
    """What the spans account for, each instant counted once and only where a step says what was done."""
    explained = coverage(story, from_wall_ns=gap.from_ns, to_wall_ns=gap.to_ns)
    print(f"explained: {explained:.1%} of {gap.ms:.0f} ms")
    assert explained >= EXPLAINED_MIN, f"{explained:.3f} of {gap.ms:.0f} ms\n{told}"


def test_a_swap_is_one_trace_from_the_command_on(observed: Observed) -> None:
    """The gateway's span of the command is its root, and its spans explain what the client saw."""
    cluster = observed.cluster
    primary = next(name for name in NODES if cluster.role(name)[0] == "PRIM")
    other = next(name for name in NODES if name != primary)
    gap = observed.outage(lambda: cluster.holdfast(primary, "swap", "-m", MODULE))
    cluster.wait_pair(other)
    observed.wait_received("resynchronisation", "command swap", primary)
    story = observed.trace_of(gap, other)
    told = observed.told(other, story[0].trace_id)
    print(f"client: {gap.ms:.0f} ms without an answer\n{told}")
    observed.wait_equal(story)
    spans = observed.received_trace("command swap", primary)
    assert {
        (primary, "gateway", "command swap"),
        (primary, "statemachine", "PRIM to WAIT"),
        (primary, "scripts", "script stop_prim"),
        (primary, "vip", "let addresses go"),
        (primary, "rfs", "replicate as primary, drain"),
        (other, "vip", "take addresses"),
        (other, "scripts", "script start_prim"),
        (other, "rfs", "replicate as primary, alone"),
    } <= {(span.node, span.service, span.name) for span in spans}
    assert [span.name for span in spans if not span.parent_span_id] == ["command swap"]
    assert_explained(story, gap, told)
