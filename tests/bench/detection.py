"""How long from a fault to the action that it leads to: process, interface, tcp, ping and custom checkers, in a lab.

Each figure is from the instant of the fault, noted inside the node, to the state machine's record of the first change
of state that follows from it; for the interface also until the node is in WAIT. Wanted: a dead process within 100 ms, a
dead interface within 200 ms, the others within an interval plus a time-out. Exit code 1 when a median is above that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.mirror import DATA, MODULE, NODES, PORT, SERVER, START, STOP, VIRTUAL_ADDRESS, Mirror, mirror

TARGET = "10.77.1.200"
INTERVAL_MS = TIMEOUT_MS = 1000
CUSTOM_MS = 100
CONFIGURATION = f"""
<safe>
 <service mode="mirror" maxloop="10000">
  <heart><heartbeat name="lan1" ident="lan1"/><heartbeat name="lan2" ident="flow"/></heart>
  <vip>
   <interface_list>
    <interface>
     <real_interface><virtual_addr addr="{VIRTUAL_ADDRESS}" where="one_side_alias" check="off"/></real_interface>
    </interface>
   </interface_list>
  </vip>
  <rfs><replicated dir="{DATA}"/></rfs>
  <user/>
  <errd><proc name="webserver" nameregex="^python" argregex="webserver.py" action="restart" class="prim"/></errd>
  <check>
   <tcp ident="web" when="prim" action="restart"><to addr="127.0.0.1" port="{PORT}" interval="1s" timeout="1s"/></tcp>
   <ping ident="target" when="prim" action="restart"><to addr="{TARGET}" interval="1s" timeout="1s"/></ping>
   <custom ident="health" when="prim" exec="check_health" arg="{CUSTOM_MS / 1000}" action="restart"/>
  </check>
 </service>
</safe>
"""
CHECK = """#!/bin/sh
said=
while :; do
    if [ -e /run/ill ]; then found=down; else found=up; fi
    [ "$found" = "$said" ] || $SAFE/safekit set -m "$1" -r "$2" -v "$found" -i check_health && said=$found
    sleep "$3"
done
"""
NOW = "date +%s%N; "
DROP = (
    "add table ip deaf; add chain ip deaf i { type filter hook input priority 0; }; "
    f"add rule ip deaf i tcp dport {PORT} drop"
)


@dataclass(kw_only=True)
class Figure:
    """Milliseconds of every round. limit_ms: for the median."""

    name: str
    limit_ms: float
    taken: list[float] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return statistics.median(self.taken) <= self.limit_ms

    def __str__(self) -> str:
        low, middle, high = min(self.taken), statistics.median(self.taken), max(self.taken)
        verdict = "ok" if self.is_good else "LATE"
        return (
            f"detection {self.name:<22} n={len(self.taken)} {low:7.1f} / {middle:7.1f} / {high:7.1f} ms  "
            f"wanted {self.limit_ms:g} ms  {verdict}  load={os.getloadavg()[0]:.1f}"
        )


def primary_of(cluster: Mirror) -> str:
    """Wait until both nodes are ready; return the primary."""
    ready = {("PRIM", "Ready"), ("SECOND", "Ready")}
    cluster.wait_for("both nodes ready", lambda: {cluster.role(name) for name in NODES} == ready, timeout_s=120)
    return next(name for name in NODES if cluster.role(name)[0] == "PRIM")


def wait_up(cluster: Mirror, node: str, resource: str) -> None:
    get = ("get", "-m", MODULE, "-r", resource)
    cluster.wait_for(f"{resource} up", lambda: cluster.holdfast(node, *get, check=False).stdout.strip() == "up")


def states(cluster: Mirror, node: str, after_wall_ns: int) -> list[tuple[int, str, str]]:
    """Time, role and status of each change since, the oldest first."""
    url = f"http://node/api/v1/modules/{MODULE}/states"
    said = cluster.node(node).run(["curl", "-sf", "--unix-socket", "/run/holdfast/gateway.sock", url]).stdout
    known = ((int(each["wall_ns"]), str(each["role"]), str(each["status"])) for each in json.loads(said))
    return sorted(each for each in known if each[0] > after_wall_ns)


def strike(cluster: Mirror, node: str, fault: str) -> int:
    """Do it inside the node; return when."""
    return int(cluster.node(node).run(["sh", "-c", NOW + fault]).stdout.split()[0])


def first_change(cluster: Mirror, node: str, fault_wall_ns: int) -> float:
    cluster.wait_for("something follows", lambda: bool(states(cluster, node, fault_wall_ns)))
    return (states(cluster, node, fault_wall_ns)[0][0] - fault_wall_ns) / 1e6


def measure(figure: Figure, cluster: Mirror, resource: str, fault: str, heal: Callable[[str], None]) -> None:
    """One round of a fault that leads to a restart where it happens."""
    node = primary_of(cluster)
    wait_up(cluster, node, resource)
    at = strike(cluster, node, fault)
    figure.taken.append(first_change(cluster, node, at))
    heal(node)


def measure_interface(figure: Figure, waiting: Figure, cluster: Mirror) -> None:
    """One round of an interface that goes down, so that the other node takes over."""
    node = primary_of(cluster)
    wait_up(cluster, node, f"intf.{VIRTUAL_ADDRESS}")
    at = strike(cluster, node, "ip link set lan1 down")
    figure.taken.append(first_change(cluster, node, at))
    cluster.wait_for("WAIT", lambda: any(role == "WAIT" for _, role, _ in states(cluster, node, at)))
    waiting.taken.append((next(t for t, role, _ in states(cluster, node, at) if role == "WAIT") - at) / 1e6)
    cluster.node(node).run(["ip", "link", "set", "lan1", "up"])


def measure_ping(figure: Figure, cluster: Mirror) -> None:
    """One round of an address elsewhere that goes away; the client's clock is the node's."""
    node = primary_of(cluster)
    wait_up(cluster, node, "ping.target")
    client = cluster.lab.client
    at = int(client.run(["sh", "-c", f"{NOW} ip addr del {TARGET}/24 dev lan1"]).stdout.split()[0])
    figure.taken.append(first_change(cluster, node, at))
    client.run(["ip", "addr", "add", f"{TARGET}/24", "dev", "lan1"])


def main() -> int:
    """Measure; return 1 when a median is above what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = range(parser.parse_args().rounds)
    words = {"port": PORT, "python": "/usr/bin/env python3"}
    programs = {"webserver.py": SERVER % words, "start_prim": START % words, "stop_prim": STOP, "check_health": CHECK}
    whole_ms = INTERVAL_MS + TIMEOUT_MS
    figures = {
        name: Figure(name=name, limit_ms=limit_ms)
        for name, limit_ms in (
            ("process to restart", 100),
            ("interface to leaving", 200),
            ("interface to WAIT", 200),
            ("tcp to restart", whole_ms),
            ("ping to restart", whole_ms),
            ("custom to restart", 2 * CUSTOM_MS + 200),
        )
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        mirror("detection", Path(folder), configuration=CONFIGURATION.strip(), programs=programs) as cluster,
    ):

        def run(*words: str) -> Callable[[str], None]:
            return lambda node: cluster.node(node).run(list(words)) and None

        cluster.lab.client.run(["ip", "addr", "add", f"{TARGET}/24", "dev", "lan1"])
        for _ in rounds:
            kill = "kill -9 $(cat /run/webserver.pid)"
            measure(figures["process to restart"], cluster, "proc.webserver", kill, lambda _node: None)
            deaf, hears = f"nft '{DROP}'", run("nft", "delete table ip deaf")
            measure(figures["tcp to restart"], cluster, "tcp.web", deaf, hears)
            well = run("rm", "-f", "/run/ill")
            measure(figures["custom to restart"], cluster, "custom.health", "touch /run/ill", well)
            measure_ping(figures["ping to restart"], cluster)
            measure_interface(figures["interface to leaving"], figures["interface to WAIT"], cluster)
    for figure in figures.values():
        print(figure, flush=True)
    return 0 if all(figure.is_good for figure in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
