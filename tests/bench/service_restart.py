"""How long after SIGKILL each service of a node is back, while a writer keeps the replicated directory busy.

For each service of the primary and of the secondary: until the supervisor calls it ready again, until both nodes say
that they are ready in their roles through a path that needs it, and the longest time that a write with fsync took
meanwhile. All three must stay below 2 s; exit code 1 when one does not. Beside them the longest gap between this
node's beats that the other one saw.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.lab.place import kill_group
from holdfast.service.priority import prefer

from tests.bench.busy import busy_loops
from tests.bench.false_takeover import NODE_RUN, longest_gap_ms, role_and_epoch, tally
from tests.cluster.mirror import DATA, NODES, Mirror, mirror, userconfig

SERVICES = (
    "heartbeat",
    "statemachine",
    "scripts",
    "vip",
    "rfs@app",
    "checker-process",
    "gateway",
    "nats-server",
)
LIMIT_MS = 2000.0
GIVE_UP_S = 30.0
LOOK_AGAIN_S = 0.01
SETTLE_S = 6.0
"""Between two kills: longer than the run after which the supervisor takes a service for stable."""
ANSWER_S_MAX = 5.0
LOOPS_S_MAX = 900.0
OBSERVER_NICE = -18
WRITER = """\
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
while True:
    os.pwrite(fd, os.urandom(4096), 0)
    os.fsync(fd)
    print(time.monotonic_ns(), flush=True)
"""


@dataclass(kw_only=True)
class Figure:
    """Milliseconds of every round."""

    node: str
    service: str
    ready: list[float] = field(default_factory=list)
    caught_up: list[float] = field(default_factory=list)
    write: list[float] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return max(*self.ready, *self.caught_up, *self.write) <= LIMIT_MS

    def __str__(self) -> str:
        parts = [
            f"{name} {min(values):5.0f} / {statistics.median(values):5.0f} / {max(values):5.0f}"
            for name, values in (
                ("ready", self.ready),
                ("caught up", self.caught_up),
                ("write", self.write),
                ("beats", self.beats),
            )
        ]
        verdict = "ok" if self.is_good else "LATE"
        return f"restart {self.node} {self.service:<16} n={len(self.ready)} {'  '.join(parts)} ms  {verdict}"


def supervised(cluster: Mirror, node: str) -> dict[str, dict[str, object]]:
    """Return what the node's supervisor says of each service; empty while it does not answer."""
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(ANSWER_S_MAX)
        try:
            door.connect(str(cluster.node(node).root / NODE_RUN / "supervisor.sock"))
            door.sendall(b'{"request": "list"}\n')
            listed = json.loads(door.makefile().readline())["services"]
        except (OSError, ValueError):
            return {}
    return {str(entry["service"]): entry for entry in listed}


def is_back(cluster: Mirror, node: str, service: str, not_pid: object) -> bool:
    """Whether the service is ready as another process."""
    entry = supervised(cluster, node).get(service, {})
    return entry.get("ready") is True and entry.get("pid") not in (0, not_pid)


def is_caught_up(cluster: Mirror) -> bool:
    """Whether both nodes say that they are in their roles."""
    known = [role_and_epoch(cluster, name) for name in NODES]
    return [each[0] if each else "" for each in known] == ["PRIM Ready", "SECOND Ready"]


def wait_ms(begun_s: float, condition: Iterator[bool]) -> float:
    """Return the milliseconds until the condition holds; GIVE_UP_S when it does not come true."""
    while not next(condition):
        if time.monotonic() - begun_s > GIVE_UP_S:
            return GIVE_UP_S * 1000
        time.sleep(LOOK_AGAIN_S)
    return (time.monotonic() - begun_s) * 1000


def strike(cluster: Mirror, figure: Figure, record: Path) -> None:
    """Kill one service once and take the figures."""
    before = supervised(cluster, figure.node)[figure.service]["pid"]
    begun_ns = time.monotonic_ns()
    begun_s = begun_ns / 1e9
    cluster.node(figure.node).kill_service(figure.service)
    back = (is_back(cluster, figure.node, figure.service, before) for _ in itertools.count())
    figure.ready.append(wait_ms(begun_s, back))
    figure.caught_up.append(wait_ms(begun_s, (is_caught_up(cluster) for _ in itertools.count())))
    time.sleep(SETTLE_S)
    times = [int(line) for line in record.read_text().splitlines() if line.isdigit()]
    gaps = [after - earlier for earlier, after in itertools.pairwise(times) if after >= begun_ns]
    other = next(name for name in NODES if name != figure.node)
    figure.beats.append(longest_gap_ms(tally(cluster, other), after_ns=begun_ns))
    figure.write.append(max([*gaps, time.monotonic_ns() - times[-1]]) / 1e6)


@contextmanager
def writer(cluster: Mirror, record: Path) -> Iterator[None]:
    """Write and synchronise one block over and over on the primary."""
    with record.open("w") as lines:
        process = cluster.node("node1").popen(["python", "-c", WRITER, f"{DATA}/busy"], stdout=lines)
    try:
        yield
    finally:
        kill_group(process)


@contextmanager
def _punctual() -> Iterator[None]:
    """Be preferred by the scheduler: whoever measures must not queue behind the load. Nodes must not inherit it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    prefer(OBSERVER_NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def main() -> int:
    """Measure what the command line asks for; return 1 when a service was away for too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", type=int, default=0, help="busy loops beside the writer")
    parser.add_argument("--heart", default="", help="attributes of the heart tag")
    parser.add_argument("--services", nargs="*", default=SERVICES)
    parser.add_argument("--nodes", nargs="*", default=NODES)
    options = parser.parse_args()
    figures = []
    with (
        tempfile.TemporaryDirectory() as folder,
        mirror("restarts", Path(folder), configuration=userconfig(heart=options.heart)) as cluster,
        writer(cluster, Path(folder) / "record"),
        _punctual(),
        busy_loops(options.loops, seconds_max=LOOPS_S_MAX),
    ):
        time.sleep(SETTLE_S)
        for node, service in itertools.product(options.nodes, options.services):
            figures.append(Figure(node=node, service=service))
            for _ in range(options.rounds):
                strike(cluster, figures[-1], Path(folder) / "record")
            print(f"{figures[-1]}  load={os.getloadavg()[0]:.1f}", flush=True)
    return 0 if all(figure.is_good for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
