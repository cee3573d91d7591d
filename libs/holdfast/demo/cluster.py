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

from holdfast.demo.phases import Moment
from holdfast.demo.report import Comparison
from holdfast.errors import EnvironmentFaultError, UnavailableError
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
        """Compare the replicas, asked on the secondary's side of the cluster or the other: the answer is the same."""
        words = ["holdfast", "rfsverify", "-m", MODULE, "--json"]
        done = self.lab.node(NODES[0]).run(words, timeout_s=VERIFY_TIMEOUT_S, check=False)
        try:
            result = _object(done.stdout)
        except ValueError:
            raise EnvironmentFaultError(f"the replicas cannot be compared: {done.stderr.strip()}") from None
        if result.get("error"):
            raise EnvironmentFaultError(f"the replicas cannot be compared: {result['error']}")
        return comparison(name, result, expected)

    def moments(self) -> tuple[Moment, ...]:
        """The timeline of both nodes."""
        merged = json.loads(self.holdfast(NODES[0], "timeline", "-m", MODULE, "--json"))
        return tuple(moment(entry) for entry in merged)

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


def moment(entry: Mapping[str, object]) -> Moment:
    """An entry of the timeline. Pure."""
    return Moment(
        node=str(entry["node"]),
        name=str(entry["name"]),
        at_ns=int(str(entry["at_mono_ns"])),
        fields=cast("Mapping[str, object]", entry["payload"]),
    )


def _object(text: str) -> Mapping[str, object]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return cast("Mapping[str, object]", value)
