"""The supervisor's loop: one thread, one selector, nothing that blocks."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto

from holdfast.errors import ExitCode
from holdfast.service.priority import prefer
from holdfast.settings import NodeSettings

from services.supervisor import bus_server, core, preload, remains
from services.supervisor.child import SIGNALS, Inheritance, start_program, start_service
from services.supervisor.control import SOCKET_NAME, ControlSocket
from services.supervisor.kept import KeptDescriptors
from services.supervisor.lifeline import Lifeline
from services.supervisor.notify import Notice, NotifySocket
from services.supervisor.registry import SERVICES, Registry
from services.supervisor.unit import Run, Unit
from services.supervisor.wanted import WantedServices

BUS = "nats-server"
RUN_VARIABLE = "HOLDFAST_RUN"
"""Environment variable that names one life of the node: the same for all services from our start to our end."""
TURN_S_MAX = 1.0
LIFELINE_RETRY_S = 2.0
PLANNED_STOP_S = 80.0
"""For the state machine to stop its modules; a little less than the 90 s that systemd gives a unit (TimeoutStopSec)."""
SERVICE_STOP_S = 5.0
BUS_STOP_S = 1.0
NICENESS = -10
"""A service that died on a busy node must not stay away until its supervisor's turn has come."""
SPARE_TITLE = "-spare"
"""Behind the name of a service in the title of its spare."""
log = logging.getLogger("holdfast.supervisor")


class Phase(Enum):
    """How far the node is on its way down."""

    RUNNING = auto()
    STOPPING_MODULES = auto()
    STOPPING_SERVICES = auto()
    STOPPING_BUS = auto()
    ENDED = auto()


class Supervisor:
    """Runs a node until it is told to stop (exit code 0) or has to give its roles up (exit code UNAVAILABLE)."""

    def __init__(self, settings: NodeSettings, registry: Registry = SERVICES) -> None:
        self._registry = registry
        self._niceness = os.getpriority(os.PRIO_PROCESS, 0)
        self._selector = selectors.DefaultSelector()
        self._notify_path = settings.run_dir / "notify.sock"
        self._notify = NotifySocket(self._notify_path)
        self._wanted = WantedServices(settings.run_dir, registry)
        self._control = ControlSocket(self._selector, settings.run_dir / SOCKET_NAME, self._answer)
        self._lifeline = Lifeline(self._selector, settings.lifeline_port)
        self._lifeline_at_s = 0.0
        self._kept = KeptDescriptors()
        self._bus = bus_server.prepare(settings.run_dir)
        self._units: dict[str, Unit] = {BUS: Unit(name=BUS, leased=False)}
        self._phase = Phase.RUNNING
        self._exit_code = ExitCode.OK
        self._imported: set[str] = set()
        self._run_id = secrets.token_hex(8)
        self._wake, self._woken = socket.socketpair()

    def run(self) -> int:
        """Start everything, keep it running, end everything."""
        # Services do not inherit it, since they start programs of users; they ask for it themselves.
        prefer(NICENESS)
        self._install()
        self._adopt_wanted()
        turned_s = time.monotonic()
        while self._phase is not Phase.ENDED:
            for key, _ in self._selector.select(self._pause_s()):
                handle: Callable[[], None] = key.data
                handle()
            now_s = time.monotonic()
            if now_s - turned_s > core.STALL_S:
                log.warning("the supervisor did not run for %.1f s; leases are extended", now_s - turned_s)
                for unit in self._units.values():
                    unit.forgive(now_s - turned_s)
            turned_s = now_s
            self._reap()
            self._judge(now_s)
        self._close()
        return int(self._exit_code)

    # -- set-up and end

    def _install(self) -> None:
        for end in (self._wake, self._woken):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_wakeups)
        self._selector.register(self._notify.socket, selectors.EVENT_READ, self._read_notices)
        self._selector.register(self._wanted.fd, selectors.EVENT_READ, self._adopt_wanted)

    def _drain_wakeups(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(256):
                pass

    def _signalled(self, number: int, _frame: object) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop()

    def stop(self) -> None:
        """Begin the orderly end; asked a second time, do not wait for the modules."""
        if self._phase is Phase.RUNNING:
            self._enter(Phase.STOPPING_MODULES)
        elif self._phase is Phase.STOPPING_MODULES:
            self._enter(Phase.STOPPING_SERVICES)

    def _close(self) -> None:
        self._lifeline.close()
        self._control.close()
        self._notify_path.unlink(missing_ok=True)

    # -- what is told to us

    def _adopt_wanted(self) -> None:
        self._wanted.drain()
        names = self._wanted.read()
        if names is None or self._phase is not Phase.RUNNING:
            return
        for name in names:
            self._units.setdefault(name, Unit(name=name)).wanted = True
        for unit in list(self._units.values()):
            if unit.name != BUS and unit.name not in names:
                self._dismiss(unit, SERVICE_STOP_S)

    def _dismiss(self, unit: Unit, grace_s: float) -> None:
        """Have a service end and stay ended."""
        unit.wanted = False
        # Before the service is asked to end: a spare would go on in its place.
        self._end_spare(unit)
        if unit.run is None:
            self._forget(unit)
        elif unit.run.kill_at_s is None:
            unit.run.kill_at_s = time.monotonic() + grace_s
            self._kill(unit, signal.SIGTERM)

    def _forget(self, unit: Unit) -> None:
        self._kept.forget_all(unit.name)
        if unit.name != BUS:
            self._units.pop(unit.name, None)

    def _read_notices(self) -> None:
        for notice in self._notify.receive():
            unit = self._unit_of(notice.pid)
            run = None if unit is None else unit.process(notice.pid)
            if unit is None or run is None:
                notice.drop()
            else:
                self._heed(unit, run, notice)

    def _unit_of(self, pid: int) -> Unit | None:
        return next((unit for unit in self._units.values() if unit.process(pid) is not None), None)

    def _heed(self, unit: Unit, run: Run, notice: Notice) -> None:
        values = notice.values
        if values.get("FDSTORE") == "1":
            for fd in notice.descriptors:
                self._kept.keep(unit.name, values.get("FDNAME", "stored"), fd)
        else:
            notice.drop()
        if values.get("FDSTOREREMOVE") == "1":
            self._kept.forget(unit.name, values.get("FDNAME", "stored"))
        if "READY" in values or "WATCHDOG" in values:
            run.renewed_s = time.monotonic()
        match values.get("SPARE"):
            case "ready":
                run.waited = True
                unit.spare_history = core.became_ready(unit.spare_history)
            case "0" | "1" as wanted:
                unit.spare_wanted = wanted == "1"
        if "READY" in values and not run.ready:
            run.ready = True
            unit.history = core.became_ready(unit.history)
            self._import_proven(unit.name)

    def _import_proven(self, name: str) -> None:
        """Load the code of a service that has just shown that it works, so that its next start needs no import."""
        target = self._registry.find(name)
        if target is not None and target.module not in self._imported:
            self._imported.add(target.module)
            with contextlib.suppress(ImportError):
                importlib.import_module(target.module)
            preload.freeze()

    def _answer(self, request: Mapping[str, object]) -> dict[str, object]:
        match request.get("request"):
            case "list":
                return {"phase": self._phase.name.lower(), "services": [self._status(u) for u in self._units.values()]}
            case "restart":
                unit = self._units.get(str(request.get("service")))
                if unit is None or unit.run is None:
                    return {"error": f"service {request.get('service')!r} is not running"}
                unit.run.kill_at_s = time.monotonic() + SERVICE_STOP_S
                # SIGTERM makes the state machine stop its modules; a restart must change nothing outside.
                self._kill(unit, signal.SIGKILL if unit.name == core.CRITICAL else signal.SIGTERM)
                return {"ok": True}
            case "stop":
                self.stop()
                return {"ok": True}
            case other:
                return {"error": f"unknown request {other!r}; known: list, restart, stop"}

    def _status(self, unit: Unit) -> dict[str, object]:
        run = unit.run
        return {
            "service": unit.name,
            "pid": run.pid if run else 0,
            "ready": (run.ready or not unit.leased) if run else False,
            "restarts": max(0, unit.history.starts - 1),
            "running_s": round(time.monotonic() - run.started_s, 3) if run else 0.0,
            "kept": sorted(self._kept.of(unit.name)),
            "spare_pid": unit.spare.pid if unit.spare else 0,
            "spare_ready": unit.spare.waited if unit.spare else False,
        }

    # -- processes

    def _start(self, unit: Unit, now_s: float) -> None:
        if unit.name == BUS:
            pid = start_program(BUS, self._bus.command, self._bus.environment)
        else:
            pid = self._fork(unit, unit.name, self._kept.of(unit.name))
        unit.run = Run(pid=pid, started_s=now_s)
        unit.history = core.started(unit.history, now_s=now_s)
        if unit.history.starts > 1:
            log.info("%s started again as process %d (start %d)", unit.name, pid, unit.history.starts)

    def _fork(self, unit: Unit, title: str, kept: Mapping[str, int]) -> int:
        target = self._registry.find(unit.name)
        assert target is not None, "only known services become units"
        sys.stderr.flush()
        environment = {"NOTIFY_SOCKET": str(self._notify_path), RUN_VARIABLE: self._run_id}
        inheritance = Inheritance(environment=environment, kept=kept, niceness=self._niceness)
        return start_service(target._replace(name=title), inheritance)

    def _start_spare(self, unit: Unit, now_s: float) -> None:
        unit.spare = Run(pid=self._fork(unit, f"{unit.name}{SPARE_TITLE}", {}), started_s=now_s)
        unit.spare_history = core.started(unit.spare_history, now_s=now_s)

    def _end_spare(self, unit: Unit) -> None:
        if unit.spare is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(unit.spare.pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            unit = self._unit_of(pid)
            if unit is None:
                continue
            # What it sent before it died is in the socket already, and must be heard while its number is known.
            self._read_notices()
            if unit.run is not None and unit.run.pid == pid:
                self._ended(unit, status)
            else:
                self._spare_ended(unit)

    def _spare_ended(self, unit: Unit) -> None:
        spare, unit.spare = unit.spare, None
        assert spare is not None, "only a running spare ends"
        if unit.wanted and unit.spare_wanted:
            log.warning("the spare of %s (process %d) ended", unit.name, spare.pid)
        now_s = time.monotonic()
        unit.spare_history = core.ended(
            unit.spare_history, ran_s=now_s - spare.started_s, was_ready=spare.waited, now_s=now_s
        )
        unit.spare_start_at_s = now_s + core.restart_delay_s(unit.name, unit.spare_history)

    def _ended(self, unit: Unit, status: int) -> None:
        run, unit.run = unit.run, None
        assert run is not None, "only a running unit ends"
        now_s = time.monotonic()
        unit.history = core.ended(
            unit.history, ran_s=now_s - run.started_s, was_ready=run.ready or not unit.leased, now_s=now_s
        )
        unit.start_at_s = now_s + core.restart_delay_s(unit.name, unit.history)
        code = os.waitstatus_to_exitcode(status)
        if not unit.wanted:
            self._forget(unit)
        elif code:
            log.warning("%s (process %d) ended with %s", unit.name, run.pid, _ending(code))
        if unit.wanted and unit.spare is not None:
            log.info("%s: its spare, process %d, goes on in its place", unit.name, unit.spare.pid)
            unit.promote(now_s)
            unit.spare_start_at_s = unit.start_at_s

    def _kill(self, unit: Unit, number: signal.Signals) -> None:
        if unit.run is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(unit.run.pid, number)

    # -- what time brings

    def _pause_s(self) -> float:
        deadlines = [unit.next_deadline_s() for unit in self._units.values()]
        first_s = min((deadline for deadline in deadlines if deadline is not None), default=float("inf"))
        return min(TURN_S_MAX, max(0.0, first_s - time.monotonic()))

    def _judge(self, now_s: float) -> None:
        for unit in list(self._units.values()):
            self._judge_unit(unit, now_s)
        if self._phase is Phase.RUNNING:
            if not self._lifeline.is_open and now_s >= self._lifeline_at_s:
                self._lifeline.open()
                self._lifeline_at_s = now_s + LIFELINE_RETRY_S
            self._fence_when_due(now_s)
        else:
            self._descend()

    def _judge_spare(self, unit: Unit, now_s: float) -> None:
        ends_s = unit.spare_ends_s()
        if unit.lacks_spare() and now_s >= unit.spare_start_at_s:
            self._start_spare(unit, now_s)
        elif unit.spare is not None and (not unit.spare_wanted or (ends_s is not None and now_s >= ends_s)):
            self._end_spare(unit)

    def _judge_unit(self, unit: Unit, now_s: float) -> None:
        self._judge_spare(unit, now_s)
        if unit.run is None:
            if unit.wanted and now_s >= unit.start_at_s:
                self._start(unit, now_s)
            return
        lease_ends_s = unit.lease_ends_s()
        if self._kept.of(unit.name) and remains.waits_for_its_successor(unit.run.pid):
            self._pass_over(unit, unit.run)
        elif unit.run.kill_at_s is not None and now_s >= unit.run.kill_at_s:
            log.warning("%s (process %d) did not end in time and is killed", unit.name, unit.run.pid)
            unit.run.kill_at_s = now_s + SERVICE_STOP_S
            self._kill(unit, signal.SIGKILL)
        elif unit.run.kill_at_s is None and lease_ends_s is not None and now_s >= lease_ends_s:
            log.error("%s (process %d) hangs: its lease lapsed; it is killed", unit.name, unit.run.pid)
            unit.run.kill_at_s = now_s + SERVICE_STOP_S
            self._kill(unit, signal.SIGKILL)

    def _pass_over(self, unit: Unit, run: Run) -> None:
        """Go on without a killed process that cannot end: its successor frees it, or the end of its mounts does."""
        log.error("%s (process %d) was killed while it waited for itself", unit.name, run.pid)
        if unit.wanted:
            self._ended(unit, signal.SIGKILL)
        else:
            remains.abort_connections(self._kept.of(unit.name).values())

    def _fence_when_due(self, now_s: float) -> None:
        unit = self._units.get(core.CRITICAL)
        if unit is None or not core.must_fence(unit.name, unit.history, now_s=now_s):
            return
        log.error("%s cannot be kept alive: this node gives its roles up and ends", unit.name)
        self._exit_code = ExitCode.UNAVAILABLE
        self._enter(Phase.STOPPING_SERVICES)

    def _enter(self, phase: Phase) -> None:
        """Go one phase down. Modules are stopped by the state machine while all other services still serve it."""
        log.info("the node is %s", phase.name.lower().replace("_", " "))
        self._phase = phase
        match phase:
            case Phase.STOPPING_MODULES:
                if core.CRITICAL in self._units:
                    self._dismiss(self._units[core.CRITICAL], PLANNED_STOP_S)
            case Phase.STOPPING_SERVICES:
                # Peers may take over from here; a connection that closes says so faster than silence does.
                self._lifeline.close()
                for unit in [unit for unit in self._units.values() if unit.name != BUS]:
                    self._dismiss(unit, SERVICE_STOP_S)
                    if unit.run is not None and unit.run.kill_at_s is not None:
                        unit.run.kill_at_s = min(unit.run.kill_at_s, time.monotonic() + SERVICE_STOP_S)
            case Phase.STOPPING_BUS:
                self._dismiss(self._units[BUS], BUS_STOP_S)
            case Phase.RUNNING | Phase.ENDED:
                pass

    def _descend(self) -> None:
        match self._phase:
            case Phase.STOPPING_MODULES if core.CRITICAL not in self._units:
                self._enter(Phase.STOPPING_SERVICES)
            case Phase.STOPPING_SERVICES if set(self._units) == {BUS}:
                self._enter(Phase.STOPPING_BUS)
            case Phase.STOPPING_BUS if self._units[BUS].run is None:
                self._enter(Phase.ENDED)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
