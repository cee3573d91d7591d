"""Client-seen outage of a trivial HTTP application, beside keepalived in the same run.

A client outside opens a new connection to the virtual address every 5 ms (`tests.bench.probe`); the outage is the
last good answer before the fault to the first after it. Faults: `crash` (switch ports down, then SIGKILL to
everything), `killed` (SIGKILL to everything, the kernel goes on answering), `process` (the application's process),
`swap` (by command).
Prints one line per figure: setting, fault, runs, min / median / max in ms, and the ratio to the peer's median. The
application's own start and stop stand in lines of their own (`tests.bench.application`), measured in the same run
between the faults, because the outages contain them. The load of the machine stands beside each figure.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.lab.lab import Lab
from holdfast.lab.place import kill_group

from tests.bench import application
from tests.bench.probe import longest_gap, read_times
from tests.cluster.mirror import NODES, PORT, VIRTUAL_ADDRESS, Mirror, mirror, userconfig
from tests.tidy.rules import ROOT

LAB = "bench"
SETTLE_S = 1.5
"""Undisturbed probing before each fault."""
RECOVER_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    setting: str
    fault: str
    outages_ms: list[float]
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def __str__(self) -> str:
        values = sorted(self.outages_ms)
        middle = statistics.median(values)
        return (
            f"outage {self.setting:<28} {self.fault:<8} n={len(values):<3}"
            f" {values[0]:7.0f} / {middle:7.0f} / {values[-1]:7.0f} ms   load {self.load:.1f}"
        )


def outage_ms(lab: Lab, folder: Path, fault: Callable[[], object]) -> float:
    """Probe, strike, wait until answers come again, and return the longest time without one."""
    out = folder / f"probe-{time.monotonic_ns()}"
    probe = lab.client.popen(
        [
            "env",
            f"PYTHONPATH={ROOT}",
            sys.executable,
            "-m",
            "tests.bench.probe",
            VIRTUAL_ADDRESS,
            str(PORT),
            "60",
            str(out),
        ]
    )
    try:
        time.sleep(SETTLE_S)
        begun = time.monotonic_ns()
        fault()
        struck = time.monotonic_ns()
        end = time.monotonic() + RECOVER_S
        while time.monotonic() < end:
            times = read_times(out)
            if times and times[-1] > begun and time.monotonic_ns() - struck > 1_000_000_000:
                gap = longest_gap(times, after_ns=begun)
                if times[-1] - gap.to_ns > 700_000_000:
                    return gap.ms
            time.sleep(0.05)
        return RECOVER_S * 1000
    finally:
        kill_group(probe)


def holdfast_figures(setting: str, heart: str, faults: list[str], runs: int) -> list[Figure]:
    """Measure a module under the given heartbeat settings."""
    figures = []
    with (
        tempfile.TemporaryDirectory() as folder,
        mirror(
            LAB,
            Path(folder),
            configuration=userconfig(heart=heart, service='maxloop="1000"'),
            programs=application.FILES,
        ) as cluster,
    ):
        for fault in faults:
            outages = []
            for _ in range(runs):
                primary = next(name for name in NODES if cluster.role(name)[0] == "PRIM")
                outages.append(outage_ms(cluster.lab, Path(folder), lambda p=primary, f=fault: _strike(cluster, p, f)))  # type: ignore[misc]
                _restore(cluster, primary, fault)
            figures.append(Figure(setting=setting, fault=fault, outages_ms=outages))
            print(figures[-1], flush=True)
        for figure in own_figures(cluster.lab, runs):
            print(figure, flush=True)
    return figures


def own_figures(lab: Lab, runs: int) -> list[Figure]:
    """Measure the application's own start and stop outside of any cluster, on the client."""
    command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.bench.application", str(runs)]
    lines = [line.split() for line in lab.client.run(command).stdout.splitlines()]
    return [
        Figure(setting="application by itself", fault=name, outages_ms=[float(line[place]) for line in lines])
        for place, name in enumerate(("start", "stop"))
    ]


def _strike(cluster: Mirror, primary: str, fault: str) -> None:
    match fault:
        case "crash":
            cluster.node(primary).kill()
        case "killed":
            cluster.node(primary).kill(link_up=True)
        case "process":
            cluster.node(primary).run(["sh", "-c", "kill -9 $(cat /run/webserver.pid)"])
        case "swap":
            cluster.holdfast(primary, "swap", "-m", "app")


def _restore(cluster: Mirror, primary: str, fault: str) -> None:
    if fault in ("crash", "killed"):
        cluster.node(primary).start()
        cluster.lab.plug(primary)
    if fault == "process":
        cluster.wait_pair(primary)
    else:
        cluster.wait_pair(next(name for name in NODES if name != primary), timeout_s=120)


KEEPALIVED = """\
global_defs {{
  router_id {node}
  vrrp_version 3
}}
vrrp_instance VI {{
  state BACKUP
  interface {interface}
  virtual_router_id 51
  priority {priority}
  advert_int {advert}
  virtual_ipaddress {{
    {address}/24
  }}
}}
"""


def keepalived_figure(advert: str, runs: int) -> Figure:
    """Measure keepalived with the same application running on both nodes."""
    outages = []
    with tempfile.TemporaryDirectory() as folder, Lab.create("keepalived", nodes=2, lans=2) as lab:
        for name in NODES:
            _start_keepalived(lab, name, advert)
        for _ in range(runs):
            primary = _wait_holder(lab)
            outages.append(outage_ms(lab, Path(folder), lab.node(primary).kill))
            lab.node(primary).start()
            lab.plug(primary)
            _start_keepalived(lab, primary, advert)
            time.sleep(2)
    figure = Figure(setting=f"keepalived advert {advert} s", fault="crash", outages_ms=outages)
    print(figure, flush=True)
    return figure


def _start_keepalived(lab: Lab, name: str, advert: str) -> None:
    node = lab.node(name)
    found = node.run(["sh", "-c", f"ip -o -4 addr show | grep ' {node.ipv4()}/' | awk '{{print $2}}'"]).stdout.strip()
    text = KEEPALIVED.format(node=name, interface=found, priority=100, advert=advert, address=VIRTUAL_ADDRESS)
    (node.root / "run/keepalived.conf").write_text(text)
    (node.root / "run/webserver.py").write_text(application.FILES["webserver.py"])
    node.run(["sh", "-c", f"setsid {application.PYTHON} /run/webserver.py >/dev/null 2>&1 & echo"])
    node.run(
        ["sh", "-c", "setsid keepalived -n -f /run/keepalived.conf -p /run/k.pid -r /run/v.pid >/dev/null 2>&1 & echo"]
    )


def _wait_holder(lab: Lab) -> str:
    end = time.monotonic() + RECOVER_S
    while time.monotonic() < end:
        for name in NODES:
            if f" {VIRTUAL_ADDRESS}/" in lab.node(name).run(["ip", "-o", "addr", "show"]).stdout:
                return name
        time.sleep(0.1)
    raise AssertionError("no node holds the address")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--skip-peers", action="store_true")
    options = parser.parse_args()
    peers = [] if options.skip_peers else [keepalived_figure(advert, options.runs) for advert in ("1", "0.1")]
    ours = holdfast_figures("holdfast defaults", "", ["crash", "killed", "process", "swap"], options.runs)
    ours += holdfast_figures("holdfast preset fast", 'preset="fast"', ["crash"], options.runs)
    for figure in ours:
        for peer in peers:
            if figure.fault == "crash":
                ratio = statistics.median(figure.outages_ms) / statistics.median(peer.outages_ms)
                print(f"ratio {figure.setting} / {peer.setting}: {ratio:.2f}")


if __name__ == "__main__":
    main()
