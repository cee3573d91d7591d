"""Does load alone move a role? Busy loops beside a healthy mirror, both nodes and the client watched the whole time.

Two settings: the defaults under four loops per core for ten minutes, and 20 ms / 150 ms under sixteen loops for a
minute. One line for each: how often a role or an epoch changed, the epochs before and after, the longest gap between
two beats that a detector saw, how often a detector doubted its own node rather than the peer, and the longest time
without a good answer that the client saw (a client that is starved itself: no measure of the cluster, but its view).
Exit code 1 when anything moved.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.lab.place import kill_group

from tests.bench.busy import busy_loops
from tests.bench.probe import longest_gap, read_times
from tests.cluster.mirror import MODULE, NODES, PORT, VIRTUAL_ADDRESS, Mirror, mirror, userconfig
from tests.tidy.rules import ROOT

LOOK_INTERVAL_S = 0.5
ANSWER_S_MAX = 10.0
SETTLE_S = 3.0
LOOPS_PER_CORE = 4
FAST_LOOPS = 16
SPARE_S = 120.0
"""Loops outlive the watching by at most this, should their parent die without ending them."""
NODE_RUN = "run/holdfast"
COUNTS = ("late", "stalls", "pressed", "suspected", "lost")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """heart: attributes of the module's heart tag."""

    name: str
    heart: str
    loops: int
    seconds: float


@dataclass(kw_only=True)
class Watched:
    """What a run showed. changes: role or epoch changes, in words; unanswered: looks at a node that did not answer."""

    epochs_before: tuple[int, int]
    epochs_after: tuple[int, int] = (0, 0)
    changes: list[str] = field(default_factory=list)
    looks: int = 0
    unanswered: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    gap_ms: float = 0.0
    client_gap_ms: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.changes and self.epochs_before == self.epochs_after


class _Door(http.client.HTTPConnection):
    """HTTP over the Unix socket of a node's gateway."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_S_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_S_MAX)
        self.sock.connect(str(self._path))


def ask(cluster: Mirror, node: str, path: str) -> object:
    """Return the gateway's answer, None when there is none; costs the loaded machine no new process."""
    door = _Door(cluster.node(node).root / NODE_RUN / "gateway.sock")
    try:
        door.request("GET", f"/api/v1/modules/{MODULE}/{path}")
        answer = door.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        door.close()


def role_and_epoch(cluster: Mirror, node: str) -> tuple[str, int] | None:
    """Return what the node says it is."""
    state = ask(cluster, node, "state")
    if not isinstance(state, dict):
        return None
    return f"{state['role']} {state['status']}", int(state["epoch"])


def tally(cluster: Mirror, node: str) -> dict[str, object]:
    """Return what the node's detector has counted (README of the heartbeat)."""
    place = cluster.node(node).root / NODE_RUN / "heartbeat" / f"{MODULE}.tally"
    return dict(json.loads(place.read_text()))


def longest_gap_ms(account: dict[str, object], *, after_ns: int) -> float:
    """Return the longest gap between beats that ended after a time."""
    gaps = account["gaps"]
    assert isinstance(gaps, list)
    lengths_ms = [float(gap["ms"]) for gap in gaps if gap["at_mono_ns"] >= after_ns]
    # Of those kept none is as new as that: then every new one was shorter than the shortest of them.
    return max(lengths_ms) if lengths_ms else min(float(gap["ms"]) for gap in gaps)


@contextmanager
def _client(cluster: Mirror, out: Path, seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.bench.probe", VIRTUAL_ADDRESS, str(PORT), str(seconds), str(out)]
    probe = cluster.lab.client.popen(["env", f"PYTHONPATH={ROOT}", *command])
    try:
        yield
    finally:
        kill_group(probe)


def watch(cluster: Mirror, setting: Setting, folder: Path) -> Watched:
    """Load the machine and look at both nodes all the time."""
    time.sleep(SETTLE_S)
    known = {name: _wait_answer(cluster, name) for name in NODES}
    watched = Watched(epochs_before=(known["node1"][1], known["node2"][1]))
    before = {name: tally(cluster, name) for name in NODES}
    states_before = {name: _states(cluster, name) for name in NODES}
    begun_ns = time.monotonic_ns()
    bound_s = setting.seconds + SPARE_S
    with _client(cluster, folder / "answers", bound_s), busy_loops(setting.loops, seconds_max=bound_s):
        end_at_s = time.monotonic() + setting.seconds
        while time.monotonic() < end_at_s:
            _look(cluster, watched, known)
            time.sleep(LOOK_INTERVAL_S)
    time.sleep(SETTLE_S)
    _look(cluster, watched, known)
    watched.epochs_after = (known["node1"][1], known["node2"][1])
    for name in NODES:
        # A change that came and went between two looks stands in the node's own history.
        watched.changes += [text for text in _states(cluster, name) if text not in states_before[name]]
        after = tally(cluster, name)
        for count in COUNTS:
            grown = int(str(after[count])) - int(str(before[name][count]))
            watched.counts[count] = watched.counts.get(count, 0) + grown
        watched.gap_ms = max(watched.gap_ms, longest_gap_ms(after, after_ns=begun_ns))
    times = read_times(folder / "answers")
    watched.client_gap_ms = longest_gap(times).ms if len(times) > 1 else setting.seconds * 1000
    return watched


def _look(cluster: Mirror, watched: Watched, known: dict[str, tuple[str, int]]) -> None:
    for name in NODES:
        now = role_and_epoch(cluster, name)
        watched.looks += 1
        if now is None:
            watched.unanswered += 1
        elif now != known[name]:
            watched.changes.append(f"{name}: {known[name]} -> {now}")
            known[name] = now


def _wait_answer(cluster: Mirror, node: str) -> tuple[str, int]:
    cluster.wait_answers(node)
    found = role_and_epoch(cluster, node)
    assert found is not None, f"{node} does not answer"
    return found


def _states(cluster: Mirror, node: str) -> list[str]:
    for _ in range(3):
        answer = ask(cluster, node, "states")
        if isinstance(answer, list):
            return [json.dumps(each, sort_keys=True) for each in answer]
    raise AssertionError(f"{node} does not tell its history")


def run(setting: Setting) -> bool:
    """Make a lab with this setting, watch it, print the verdict; return whether nothing moved."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mirror("takeover", Path(folder), configuration=userconfig(heart=setting.heart)) as cluster,
    ):
        watched = watch(cluster, setting, Path(folder))
    print(_line(setting, watched), flush=True)
    for change in watched.changes:
        print(f"  {change}", flush=True)
    return watched.is_good


def _line(setting: Setting, watched: Watched) -> str:
    before, after = watched.epochs_before, watched.epochs_after
    doubts = sum(watched.counts[name] for name in ("late", "stalls", "pressed"))
    words = (
        f"false takeover {setting.name:<14} {setting.loops} loops {setting.seconds:.0f} s:",
        "ok" if watched.is_good else "MOVED",
        f"takeovers={max(after) - max(before)} changes={len(watched.changes)}",
        f"epochs={before[0]}/{before[1]}->{after[0]}/{after[1]}",
        f"longest_gap_ms={watched.gap_ms:.0f} doubts={doubts}",
        f"({' '.join(f'{name}={watched.counts[name]}' for name in COUNTS)})",
        f"client_gap_ms={watched.client_gap_ms:.0f} looks={watched.looks} unanswered={watched.unanswered}",
        f"load={os.getloadavg()[0]:.1f}",
    )
    return " ".join(words)


def main() -> int:
    """Run what the command line asks for; return 1 when a role or an epoch moved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="of the defaults under load; 0 leaves them out")
    parser.add_argument("--fast-seconds", type=float, default=60.0, help="of 20 ms / 150 ms; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    settings = [
        Setting(name="defaults", heart="", loops=LOOPS_PER_CORE * cores, seconds=options.seconds),
        Setting(name="fast 20/150 ms", heart='preset="fast"', loops=FAST_LOOPS, seconds=options.fast_seconds),
    ]
    good = [run(setting) for setting in settings if setting.seconds > 0 for _ in range(options.runs)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
