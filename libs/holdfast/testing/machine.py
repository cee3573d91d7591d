"""A simulated node: its state machine, heartbeat, addresses, scripts, application and copy of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from holdfast.core import ModuleSettings, Orders, State, reconfigured
from holdfast.events.membership import PeerFound, PeerLost, PeerReported
from holdfast.events.module import (
    Action,
    AddressesReported,
    CommandRequested,
    ResourceReported,
    ScriptFinished,
    ServiceStarted,
)
from holdfast.events.state import Announcement
from holdfast.testing.judge import Judge, JudgeFactory
from holdfast.testing.network import Network
from holdfast.testing.replica import Replica, Watcher
from holdfast.testing.scheduler import NS_PER_MS, Scheduler
from holdfast.testing.shell import Shell
from holdfast.testing.witness import Asker, Witness

WRITE_INTERVAL_NS = 40 * NS_PER_MS
SCRIPT_NS_MAX = 80 * NS_PER_MS
LONG_SCRIPT_NS = 2_000 * NS_PER_MS
BACKLOG_MAX = 512
"""Datagrams a stalled node's socket buffer holds; the newest are dropped, as the kernel does."""


class Machine:
    """Node `index` (0 or 1) of a cluster. `other` is set once both exist."""

    other: Machine

    def __init__(
        self,
        index: int,
        settings: ModuleSettings,
        scheduler: Scheduler,
        random: Random,
        network: Network,
        judge_factory: JudgeFactory,
        watcher: Watcher,
        watch: Callable[[int, State, State], None],
        next_write: Callable[[], int],
        witness: Witness,
    ) -> None:
        self.index = index
        self.settings = settings
        self.is_on = False
        self.incarnation = 0
        self.application_runs = False
        self.addresses_held = False
        self.stalled_until_ns = 0
        self.held_scripts: set[str] = set()
        """Scripts that do not end until `finish_held`."""
        self.on_script: Callable[[int, str, tuple[str, ...]], None] | None = None
        self.on_addresses: Callable[[int, bool], None] | None = None
        self.clock_offset_ns = random.randrange(1, 10**12)
        self._scheduler = scheduler
        self._random = random
        self._network = network
        self._judge_factory = judge_factory
        self._next_write = next_write
        self.shell = Shell(
            settings,
            scheduler,
            random,
            self.clock_ns,
            self.obey,
            lambda before, after: watch(index, before, after),
            self.report_all,
        )
        lan = network.lans[0]
        self.replica = Replica(
            index,
            scheduler,
            random,
            watcher,
            lambda: network.passes(lan, 0) and network.passes(lan, 1),
            self.shell.feed,
        )
        self.asker = Asker(index, settings.node, witness, scheduler, self.shell.feed)
        self.asker.is_stalled = lambda: self.is_stalled
        self.judge: Judge | None = None
        self._forget()

    def _forget(self) -> None:
        self._orders: Orders | None = None
        self._announcement: Announcement | None = None
        self._peer_said: Announcement | None = None
        self._verdict: PeerFound | PeerLost | None = None
        self._backlog: list[tuple[str, object]] = []
        self._results: dict[str, ScriptFinished] = {}
        self._runs: set[str] = set()
        self._held: dict[str, str] = {}
        self._heard_ns: dict[str, int] = {}
        self._life_of_heartbeat = 0
        self._planned_ns = 0

    def clock_ns(self) -> int:
        """This node's CLOCK_MONOTONIC; it has nothing to do with the other node's."""
        return self._scheduler.now_ns + self.clock_offset_ns

    # -- life -----------------------------------------------------------------------------------------------------

    def power_on(self, *, start: bool) -> None:
        if self.is_on:
            return
        self.is_on = True
        self.incarnation += 1
        self.clock_offset_ns = self._random.randrange(1, 10**12) - self._scheduler.now_ns
        self._life_of_heartbeat += 1
        self.replica.start()
        self._start_heartbeat()
        self.shell.boot(self.incarnation)
        if start:
            self.shell.feed(CommandRequested(action=Action.START, who="boot"))
        self._scheduler.after(WRITE_INTERVAL_NS, self._write, self.incarnation)

    def crash(self) -> None:
        """Every process of it ends at once; memory and unsynced writes are gone."""
        if not self.is_on:
            return
        self.is_on = self.application_runs = self.addresses_held = False
        self.shell.crash()
        self.replica.crash()
        self.asker.forget()
        self.judge = None
        life = self._life_of_heartbeat
        self._forget()
        self._life_of_heartbeat = life + 1
        self.stalled_until_ns = 0
        self.shell.is_stalled = self.replica.is_stalled = False

    def stall(self, duration_ns: int) -> None:
        """SIGSTOP everything on this node for a while."""
        if not self.is_on:
            return
        until = self._scheduler.now_ns + duration_ns
        self.stalled_until_ns = max(self.stalled_until_ns, until)
        self.shell.is_stalled = self.replica.is_stalled = True
        self._scheduler.after(duration_ns, self._continue, self.incarnation)

    def _continue(self, incarnation: int) -> None:
        if self.incarnation != incarnation or not self.is_on or self._scheduler.now_ns < self.stalled_until_ns:
            return
        self.replica.is_stalled = False
        self.shell.resume_stall()
        backlog, self._backlog = self._backlog, []
        for lan, datagram in backlog:
            self._receive(lan, datagram)
        self._tick(self._life_of_heartbeat)

    @property
    def is_stalled(self) -> bool:
        return self._scheduler.now_ns < self.stalled_until_ns

    def kill_service(self, service: str) -> None:
        """SIGKILL one service; the supervisor restarts it."""
        if not self.is_on:
            return
        match service:
            case "statemachine":
                self.shell.kill()
            case "heartbeat":
                self._life_of_heartbeat += 1
                self.judge = None
                self._scheduler.after(70 * NS_PER_MS, self._restart_heartbeat, self.incarnation)
            case "rfs":
                self.replica.kill_worker()
            case "checker-splitbrain":
                self.asker.restart()
            case _:
                self._scheduler.after(50 * NS_PER_MS, self._restarted, self.incarnation, service)

    def _restarted(self, incarnation: int, service: str) -> None:
        if self.incarnation == incarnation and self.is_on:
            self.shell.feed(ServiceStarted(service=service, pid=0))

    def report_all(self) -> None:
        """Every service tells its present facts, as after `report.facts`."""
        if self._peer_said is not None:
            self.shell.feed(PeerReported(announcement=self._peer_said))
        if self._verdict is not None:
            self.shell.feed(self._verdict)
        self._report_addresses()
        self.replica.report(True)
        self.asker.report()

    # -- orders ---------------------------------------------------------------------------------------------------

    def obey(self, orders: Orders) -> None:
        """Carry out what is wanted, as the services do."""
        before, self._orders = self._orders, orders
        self.asker.obey(next(iter(orders.watch.witnesses), None))
        announcement = orders.announce.announcement
        if announcement != self._announcement:
            self._announcement = announcement
            self._beat_once()
        if orders.addresses.held != self.addresses_held:
            self._scheduler.after(3 * NS_PER_MS, self._set_addresses, self.incarnation)
        if orders.replicate is not None and (before is None or orders.replicate != before.replicate):
            delay = int(self._random.uniform(0.2, 5) * NS_PER_MS)
            self._scheduler.after(delay, self._replicate, self.incarnation)
        if orders.forget is not None and orders.run is not None:
            self._finish(self.incarnation, orders.run.run, orders.run.script, 137)
        elif orders.run is not None:
            self._run(orders.run.run, orders.run.script, orders.run.arguments)

    def _replicate(self, incarnation: int) -> None:
        if self.incarnation == incarnation and self.is_on and self._orders and self._orders.replicate:
            self.replica.obey(self._orders.replicate)

    def _set_addresses(self, incarnation: int) -> None:
        if self.incarnation != incarnation or not self.is_on or self._orders is None:
            return
        if self.on_addresses is not None and self.addresses_held != self._orders.addresses.held:
            self.on_addresses(self.index, self._orders.addresses.held)
        self.addresses_held = self._orders.addresses.held
        self._report_addresses()

    def _report_addresses(self) -> None:
        present = tuple(a.address for a in self.settings.addresses) if self.addresses_held else ()
        self.shell.feed(AddressesReported(held=self.addresses_held, present=present))

    def _run(self, run: str, script: str, arguments: tuple[str, ...]) -> None:
        if run in self._results:
            self.shell.feed(self._results[run])
            return
        if run in self._runs:
            return
        self._runs.add(run)
        if script == "stop_prim":
            self.application_runs = False
        if self.on_script is not None:
            self.on_script(self.index, script, arguments)
        if script in self.held_scripts:
            self._held[script] = run
            return
        duration = int(self._random.random() * SCRIPT_NS_MAX)
        if self._random.random() < 0.02:
            duration = LONG_SCRIPT_NS
        self._scheduler.after(duration, self._finish, self.incarnation, run, script, 0)

    def _finish(self, incarnation: int, run: str, script: str, exit_code: int) -> None:
        if self.incarnation != incarnation or not self.is_on or run in self._results:
            return
        if self.is_stalled:
            self._scheduler.after(20 * NS_PER_MS, self._finish, incarnation, run, script, exit_code)
            return
        if script == "start_prim" and exit_code == 0:
            self.application_runs = True
        result = ScriptFinished(run=run, script=script, exit_code=exit_code, duration_ms=0.0, timed_out=False, log="")
        self._results[run] = result
        self.shell.feed(result)

    def finish_held(self, script: str) -> None:
        """The script that was held back ends now."""
        run = self._held.pop(script, "")
        if run:
            self._finish(self.incarnation, run, script, 0)

    def change_settings(self, **changes: Any) -> None:
        """Apply another configuration."""
        self.settings = replace(self.settings, **changes)
        self.shell.settings = self.settings
        self.shell.state = reconfigured(self.shell.state, self.settings)

    def _write(self, incarnation: int) -> None:
        if self.incarnation != incarnation or not self.is_on:
            return
        if self.application_runs and not self.is_stalled and len(self.replica.pending) < 8:
            self.replica.write(self._next_write())
        self._scheduler.after(WRITE_INTERVAL_NS, self._write, incarnation)

    def resource_goes_down(self, resource: str, action: str) -> None:
        self.shell.feed(ResourceReported(resource=resource, value="down", by="simulation", action=action))

    # -- heartbeat ------------------------------------------------------------------------------------------------

    def _start_heartbeat(self) -> None:
        settings = self.settings
        self.judge = self._judge_factory(
            self._network.lans, settings.heartbeat_pulse_ms, settings.heartbeat_timeout_ms, self.clock_ns()
        )
        self._heard_ns = {}
        life = self._life_of_heartbeat
        self._planned_ns = self._scheduler.now_ns
        self._scheduler.after(0, self._pulse, life)
        self._scheduler.after(0, self._tick, life)

    def _restart_heartbeat(self, incarnation: int) -> None:
        if self.incarnation == incarnation and self.is_on:
            self._start_heartbeat()
            self.shell.feed(ServiceStarted(service="heartbeat", pid=0))

    def _pulse(self, life: int) -> None:
        if life != self._life_of_heartbeat:
            return
        self._beat_once()
        self._scheduler.after(self.settings.heartbeat_pulse_ms * NS_PER_MS, self._pulse, life)

    def _beat_once(self) -> None:
        if self._announcement is None or self.is_stalled or self.judge is None:
            return
        for lan in self._network.lans:
            self._network.send(lan, self.index, self.other._receive, self._announcement)

    def _receive(self, lan: str, datagram: object) -> None:
        if self.judge is None or not self.is_on:
            return
        if self.is_stalled:
            if len(self._backlog) < BACKLOG_MAX:
                self._backlog.append((lan, datagram))
            return
        announcement = datagram
        assert isinstance(announcement, Announcement), "beats carry announcements"
        if announcement is not self._peer_said:
            self._take(announcement)
        for verdict in self.judge.beat(lan, self.clock_ns(), hears_us=True, incarnation=announcement.incarnation):
            self._judged(verdict)

    def _take(self, announcement: Announcement) -> None:
        """Keep the newest announcement; late datagrams carry older ones."""
        known = self._peer_said
        if known is not None:
            newest = (known.incarnation, known.number, known.seen_incarnation, known.seen)
            fresh = (announcement.incarnation, announcement.number, announcement.seen_incarnation, announcement.seen)
            if fresh <= newest:
                return
        self._peer_said = announcement
        self.shell.feed(PeerReported(announcement=announcement))

    def _judged(self, verdict: PeerFound | PeerLost) -> None:
        self._verdict = verdict
        self.shell.feed(verdict)

    def _tick(self, life: int) -> None:
        """Judge at least twice a pulse, as the service's loop does."""
        if life != self._life_of_heartbeat or self.judge is None:
            return
        if self.is_stalled:
            return
        now = self._scheduler.now_ns
        late = max(now - self._planned_ns, 0)
        for verdict in self.judge.tick(self.clock_ns(), late_ns=late):
            self._judged(verdict)
        self._planned_ns = now + self.settings.heartbeat_pulse_ms * NS_PER_MS // 2
        self._scheduler.after(self._planned_ns - now, self._tick, life)
