"""What happens in the demonstration, in order."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.demo import database, phases
from holdfast.demo.cluster import MODULE, NODES, Cluster, Progress
from holdfast.demo.customer import Customer
from holdfast.demo.damage import damage_one_file
from holdfast.demo.record import Gap, acks_of, judge, longest_gap
from holdfast.demo.report import Comparison, Event, Report, Resync
from holdfast.demo.screen import Screen
from holdfast.demo.writer import SCHEMA
from holdfast.errors import UnavailableError

NODE1, NODE2 = NODES
STEADY_ROWS: Final = 200
"""Rows acknowledged before each event and after it: enough to see that all is well, in about two seconds."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """The report, and which of its parts the last line speaks of."""

    report: Report
    failover: Event
    difference: Resync

    @property
    def last_line(self) -> str:
        """One line for programs."""
        return self.report.last_line(self.failover, self.difference)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of time in which something happened."""

    from_ns: int
    to_ns: int


class Story:
    """The demonstration, on a lab that is up."""

    def __init__(self, cluster: Cluster, screen: Screen, *, package: Path, scratch: Path) -> None:
        self._cluster = cluster
        self._screen = screen
        self._package = package
        self._scratch = scratch

    def tell(self) -> Told:
        """Do everything, and report it. Raises HoldfastError when the cluster does not do what it should."""
        filled = self._set_up()
        with ExitStack() as ending:
            customer = self._start_customer(ending)
            killed, returned = self._lose_primary(customer), self._return(customer)
            swapped = self._swap(customer)
            customer.stop()
        with self._screen.step("every acknowledged row is looked for"):
            attempts = customer.attempts()
            judgement = judge(attempts, database.rows(self._cluster.lab.client, self._cluster.address))
        comparisons, repaired = self._compare()
        with self._screen.step("journals and traces of both nodes are read"):
            failover = self._event(f"{NODE1} killed", customer, killed, node=NODE2)
            events = (failover, self._event("roles swapped", customer, swapped, node=NODE1))
            reports = self._cluster.reports()
        resyncs = (
            resync_of(f"{NODE2}, first", reports, node=NODE1, window=filled),
            resync_of(f"{NODE1}, returned", reports, node=NODE2, window=returned),
            resync_of(f"{NODE2}, repaired", reports, node=NODE1, window=repaired),
        )
        report = Report(events=events, judgement=judgement, resyncs=resyncs, comparisons=comparisons)
        return Told(report=report, failover=failover, difference=resyncs[1])

    def _set_up(self) -> Window:
        """From bare nodes to a ready pair; returns when the secondary was filled."""
        cluster, screen = self._cluster, self._screen
        with screen.step("the cluster is configured and the PostgreSQL module installed on both nodes"):
            cluster.configure(self._package, self._scratch)
        with screen.step(f"an empty database is made on {NODE1}"):
            for node in NODES:
                database.prepare(cluster.lab.node(node))
            database.create(cluster.lab.node(NODE1))
        with screen.step(f"{NODE1} becomes primary"):
            cluster.holdfast(NODE1, "prim", "-m", MODULE)
            cluster.wait_ready({NODE1: "ALONE"})
            database.ask(cluster.lab.client, cluster.address, SCHEMA)
        from_ns = time.monotonic_ns()
        with screen.step(f"{NODE2} is filled and becomes secondary"):
            cluster.holdfast(NODE2, "second", "-m", MODULE)
            cluster.wait_ready({NODE1: "PRIM", NODE2: "SECOND"})
        return Window(from_ns=from_ns, to_ns=time.monotonic_ns())

    def _start_customer(self, ending: ExitStack) -> Customer:
        with self._screen.step(f"a client writes rows through {self._cluster.address}"):
            customer = Customer.start(self._cluster.lab.client, self._cluster.address, self._scratch)
            ending.callback(customer.kill)
            self._screen.watch(lambda: f"the client has {len(acks_of(customer.attempts()))} rows acknowledged")
            customer.wait_for_acks(STEADY_ROWS)
        return customer

    def _lose_primary(self, customer: Customer) -> Window:
        with self._screen.step(f"{NODE1} is killed at once; {NODE2} takes over and the client goes on"):
            killed_ns = round(self._cluster.lab.node(NODE1).kill() * 1e9)
            # An answer that was under way when the node died may still arrive; so not the first one counts.
            self._cluster.wait_ready({NODE2: "ALONE"})
            customer.wait_for_acks(STEADY_ROWS, after_ns=time.monotonic_ns())
        return Window(from_ns=killed_ns, to_ns=time.monotonic_ns())

    def _return(self, customer: Customer) -> Window:
        from_ns = time.monotonic_ns()
        with self._screen.step(f"{NODE1} comes back and is resynchronised while writing goes on"):
            self._cluster.lab.node(NODE1).start()
            self._cluster.wait(f"{NODE1} answers", lambda: self._cluster.view(NODE1).role != "")
            if self._cluster.view(NODE1).role == "STOP":
                self._cluster.holdfast(NODE1, "start", "-m", MODULE)
            self._cluster.wait_ready({NODE2: "PRIM", NODE1: "SECOND"})
            customer.wait_for_acks(STEADY_ROWS, after_ns=time.monotonic_ns())
        return Window(from_ns=from_ns, to_ns=time.monotonic_ns())

    def _swap(self, customer: Customer) -> Window:
        from_ns = time.monotonic_ns()
        with self._screen.step("the roles are swapped by command"):
            self._cluster.holdfast(NODE2, "swap", "-m", MODULE)
            self._cluster.wait_ready({NODE1: "PRIM", NODE2: "SECOND"})
            customer.wait_for_acks(STEADY_ROWS, after_ns=time.monotonic_ns())
        return Window(from_ns=from_ns, to_ns=time.monotonic_ns())

    def _compare(self) -> tuple[tuple[Comparison, ...], Window]:
        """Compare, damage, find the damage, repair, compare; with the time of the repair."""
        cluster, screen = self._cluster, self._screen
        with screen.step("the replicas are compared"):
            whole = cluster.compare("before the damage")
        with screen.step(f"one byte is damaged on {NODE2} behind the product's back, and found"):
            path = f"{database.DATA}/{damage_one_file(cluster.lab.node(NODE2))}"
            damaged = cluster.compare("one byte damaged", expected=(path,))
        from_ns = time.monotonic_ns()
        with screen.step(f"{NODE2} is repaired by a full resynchronisation, and the replicas are compared again"):
            cluster.holdfast(NODE2, "stop", "-m", MODULE)
            cluster.wait(f"{NODE2} STOP", lambda: cluster.view(NODE2).role == "STOP")
            cluster.holdfast(NODE2, "second", "fullsync", "-m", MODULE)
            cluster.wait_ready({NODE1: "PRIM", NODE2: "SECOND"})
            window = Window(from_ns=from_ns, to_ns=time.monotonic_ns())
            repaired = cluster.compare("after the repair")
        return (whole, damaged, repaired), window

    def _event(self, name: str, customer: Customer, window: Window, *, node: str) -> Event:
        """What the client saw of an event, and what the new primary's trace says about it."""
        gap = self._gap(name, customer, window)
        offset_ns = time.time_ns() - time.monotonic_ns()
        spans = self._cluster.trace(node, from_wall_ns=gap.from_ns + offset_ns, to_wall_ns=gap.to_ns + offset_ns)
        split = phases.split(spans, gap, node=node, since_ns=window.from_ns, wall_offset_ns=offset_ns)
        return Event(name=name, outage_ms=gap.length_ms, split=split)

    def _gap(self, name: str, customer: Customer, window: Window) -> Gap:
        gap = longest_gap(acks_of(customer.attempts()), since_ns=window.from_ns, until_ns=window.to_ns)
        if gap is None:
            raise UnavailableError(f"the client has too few answers around this: {name}")
        return gap


def resync_of(name: str, reports: tuple[Progress, ...], *, node: str, window: Window) -> Resync:
    """What the primary's reports in a stretch of time say was copied. Pure.

    It begins with the first report of a running resynchronisation and ends with the first that says it is over.
    """
    own = [each for each in reports if each.node == node and window.from_ns <= each.at_ns <= window.to_ns]
    own.sort(key=lambda report: report.at_ns)
    running = [report.at_ns for report in own if report.is_running]
    ended = [report for report in own if running and report.at_ns > running[-1]]
    if not ended:
        return Resync(name=name, kind="nothing to copy", files=0, bytes=0, seconds=0.0)
    last = ended[0]
    return Resync(
        name=name, kind=last.kind, files=last.files, bytes=last.bytes, seconds=(last.at_ns - running[0]) / 1e9
    )
