"""The cluster of the demonstration, driven by the command line as an operator would drive it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, cast

from holdfast.demo.report import Comparison
from holdfast.errors import EnvironmentFaultError, UnavailableError
from holdfast.events.module import SpanEnded
from holdfast.history import trace as history
from holdfast.lab.addressing import LanName, NodeName, lan_names, node_endpoint, node_names
from holdfast.lab.errors import LabError
from holdfast.lab.lab import Lab

MODULE: Final = "postgresql"
NODES: Final = node_names(2)
LANS: Final = lan_names(2)
COMMAND_TIMEOUT_S: Final = 60.0
VERIFY_TIMEOUT_S: Final = 300.0
STATE_TIMEOUT_S: Final = 120.0
"""For a node to become what it was told, a whole copy of the database included."""
TIMELINE_ENTRIES: Final = 10_000
"""More than the demonstration makes."""
_POLL_S: Final = 0.05
_KEY_BYTES: Final = 32
_STAGE: Final = "/root/holdfast-demo"
"""Where the files to be installed are put into each node."""
_EXAMPLE_ADDRESS: Final = "192.0.2.100"
"""The address in the package, which is one for documentation (RFC 5737)."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a node says of itself."""

    role: str
    status: str
    reason: str

    def __str__(self) -> str:
        return f"{self.role} {self.status}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a node says a resynchronisation is."""

    node: str
    at_ns: int
    kind: str
    files: int
    bytes: int
    is_running: bool


class Cluster:
    """Two nodes with the PostgreSQL module."""

    def __init__(self, lab: Lab, address: IPv4Address) -> None:
        self.lab = lab
        self.address = address

    def holdfast(self, node: str, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run the command line on a node and return what it prints; raises LabError when it fails."""
        return self.lab.node(node).run(["holdfast", *words], timeout_s=timeout_s).stdout

    def configure(self, package: Path, scratch: Path) -> None:
        """Give both nodes the cluster's configuration and key, and the module with our virtual address."""
        (scratch / "cluster.xml").write_text(cluster_xml(NODES, LANS))
        (scratch / "cluster.key").write_text(f"{secrets.token_hex(_KEY_BYTES)}\n")
        for node in NODES:
            self.wait(f"{node} answers", partial(self._answers, node))
            self.lab.node(node).copy_in(scratch, _STAGE)
            self.lab.node(node).copy_in(package, f"{_STAGE}/{MODULE}")
            self._set_address(node)
            self.holdfast(node, "cluster", "config", f"{_STAGE}/cluster.xml", "--key", f"{_STAGE}/cluster.key")
            self.holdfast(node, "module", "install", f"{_STAGE}/{MODULE}", "-m", MODULE)
            self.holdfast(node, "config", "-m", MODULE)

    def view(self, node: str) -> View:
        """What a node says of itself; nothing when it does not answer."""
        try:
            state = _object(self.holdfast(node, "state", "-m", MODULE, "--json"))
        except (LabError, ValueError):
            return View(role="", status="", reason="no answer")
        return View(
            role=str(state.get("role", "")), status=str(state.get("status", "")), reason=str(state.get("reason", ""))
        )

    def wait_ready(self, roles: Mapping[str, str]) -> None:
        """Wait until each node is in the role given for it, and ready; raises UnavailableError."""
        wanted = " and ".join(f"{node} {role}" for node, role in roles.items())
        self.wait(wanted, lambda: all(self._is_ready(node, role) for node, role in roles.items()))

    def wait(self, what: str, condition: Callable[[], bool], *, timeout_s: float = STATE_TIMEOUT_S) -> None:
        """Wait until a condition holds; raises UnavailableError that says what each node is instead."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                views = ", ".join(f"{node} is {self.view(node)}" for node in NODES)
                raise UnavailableError(f"not within {timeout_s:g} s: {what}", hint=views)
            time.sleep(_POLL_S)

    def compare(self, name: str, *, expected: tuple[str, ...] = ()) -> Comparison:
        """Compare the replicas, asked of the primary of that time, which is the first node."""
        words = ["holdfast", "rfsverify", "-m", MODULE, "--json"]
        done = self.lab.node(NODES[0]).run(words, timeout_s=VERIFY_TIMEOUT_S, check=False)
        try:
            result = _object(done.stdout)
        except ValueError:
            raise EnvironmentFaultError(f"the replicas cannot be compared: {done.stderr.strip()}") from None
        if result.get("error"):
            raise EnvironmentFaultError(f"the replicas cannot be compared: {result['error']}")
        return comparison(name, result, expected)

    def trace(self, node: str, *, from_wall_ns: int, to_wall_ns: int) -> tuple[SpanEnded, ...]:
        """The trace of the takeover that a node was busy with at that time, as both nodes know it.

        Empty when there is none.
        """
        listed = _objects(self.holdfast(node, "trace", "--list", "-m", MODULE, "--json"))
        shared = {str(summary["trace_id"]): _overlap(summary, from_wall_ns, to_wall_ns) for summary in listed}
        longest = max(shared, key=shared.__getitem__, default="")
        if not longest or not shared[longest]:
            return ()
        return tuple(history.merged(self._spans(each, longest) for each in NODES))

    def reports(self) -> tuple[Progress, ...]:
        """What both nodes' journals tell about resynchronisations."""
        words = ("timeline", "-A", "-m", MODULE, "-s", str(TIMELINE_ENTRIES), "--json")
        entries = [entry for node in NODES for entry in _objects(self.holdfast(node, *words))]
        return tuple(read for entry in entries if (read := progress(entry)) is not None)

    def _spans(self, node: str, trace: str) -> list[SpanEnded]:
        """A node's spans of a trace; it may know nothing of it."""
        words = ["holdfast", "trace", trace, "--json"]
        done = self.lab.node(node).run(words, timeout_s=COMMAND_TIMEOUT_S, check=False)
        return [span(fields) for fields in _objects(done.stdout)] if done.returncode == 0 else []

    def _answers(self, node: str) -> bool:
        try:
            self.holdfast(node, "state")
        except LabError:
            return False
        return True

    def _is_ready(self, node: str, role: str) -> bool:
        view = self.view(node)
        return (view.role, view.status) == (role, "Ready")

    def _set_address(self, node: str) -> None:
        """As an operator edits the first macro of the package."""
        path = self.lab.node(node).root / f"{_STAGE}/{MODULE}/conf/userconfig.xml".lstrip("/")
        path.write_text(path.read_text().replace(_EXAMPLE_ADDRESS, str(self.address)))


def cluster_xml(nodes: tuple[NodeName, ...], lans: tuple[LanName, ...]) -> str:
    """The cluster: every node on every lan. Pure."""
    lines = ["<cluster>", "  <lans>"]
    for lan in lans:
        lines.append(f'    <lan name="{lan}">')
        lines += [f'      <node name="{node}" addr="{node_endpoint(lan, node).ipv4.ip}"/>' for node in nodes]
        lines.append("    </lan>")
    return "\n".join([*lines, "  </lans>", "</cluster>", ""])


def comparison(name: str, result: Mapping[str, object], expected: tuple[str, ...]) -> Comparison:
    """The answer of rfsverify. Pure."""
    differences = cast("list[Mapping[str, object]]", result.get("differences", []))
    return Comparison(
        name=name,
        files=int(str(result["files"])),
        bytes=int(str(result["bytes"])),
        differences=tuple(sorted(str(difference["path"]) for difference in differences)),
        expected=expected,
    )


def progress(entry: Mapping[str, object]) -> Progress | None:
    """An entry of the timeline, when it tells of a resynchronisation. Pure."""
    fields = cast("Mapping[str, object]", entry["fields"])
    said = cast("Mapping[str, object]", fields.get("progress") or {})
    if not said.get("kind"):
        return None
    return Progress(
        node=str(entry["node"]),
        at_ns=int(str(entry["mono_ns"])),
        kind=str(said["kind"]),
        files=int(str(said["files_done"])),
        bytes=int(str(said["bytes_done"])),
        is_running=fields.get("resyncing") is True,
    )


def span(fields: Mapping[str, object]) -> SpanEnded:
    """A span as `holdfast trace` tells it. Pure."""
    return SpanEnded(
        trace_id=str(fields["trace_id"]),
        span_id=str(fields["span_id"]),
        parent_span_id=str(fields["parent_span_id"]),
        name=str(fields["name"]),
        service=str(fields["service"]),
        start_wall_ns=int(str(fields["start_wall_ns"])),
        end_wall_ns=int(str(fields["end_wall_ns"])),
    )


def _overlap(summary: Mapping[str, object], from_ns: int, to_ns: int) -> int:
    return max(0, min(to_ns, int(str(summary["end_wall_ns"]))) - max(from_ns, int(str(summary["start_wall_ns"]))))


def _objects(text: str) -> list[Mapping[str, object]]:
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError("a list was expected")
    return cast("list[Mapping[str, object]]", value)


def _object(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return cast("Mapping[str, object]", value)
