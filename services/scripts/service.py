"""The service: obeys `run.script` and `forget.scripts`, publishes `script.finished`.

It keeps nothing in memory that matters. What runs and what has finished is in the records (`record`); a service that
starts finds them there, watches what is still running, and repeats results when it is asked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import ForgetScripts, RunScript, ScriptFinished, SpanEnded
from holdfast.ids import ModuleId, NodeId, checked_name
from holdfast.scripting.environment import safe_dir, script_dir, script_environment
from holdfast.scripting.safe_tree import write_safe_tree
from holdfast.service.context import Context
from holdfast.service.priority import prefer_for_takeover
from holdfast.service.run import ready
from holdfast.telemetry import is_trace

from services.scripts.logs import log_name, prune_logs
from services.scripts.record import Record, Records
from services.scripts.runner import EXIT_NOT_STARTED, Run
from services.scripts.spare import Spare, make_spare

RUNS_MAX = 64
"""Scripts running at once on a node: two for each of the 32 modules that a cluster may have."""
RECORD_WAIT_S = 1.0
RECORD_LOOK_S = 0.01
"""A runner writes its record within milliseconds of taking its lock."""
_SCRIPT = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\Z")

SPARES = 2
"""Scripts that follow one another while clients wait: stop and start of an application. A spare takes a few MiB."""
TIDY_S = 1.0
"""After the last start of a script: spares are made and old files removed when a transition is most likely over."""

log = logging.getLogger("holdfast.scripts")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A runner that is being waited for. channel: how it says that the run is over, None when an earlier service made
    it."""

    descriptor: int
    channel: socket.socket | None
    cause: str
    trace: str

    @property
    def waited_for(self) -> int:
        """What becomes readable with the end of the run."""
        return self.descriptor if self.channel is None else self.channel.fileno()

    def close(self) -> None:
        os.close(self.descriptor)
        if self.channel is not None:
            self.channel.close()


class Scripts:
    """Starts runners, waits for them, and says how they ended."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings
        self._records = Records(context.settings.run_dir / "scripts")
        self._watched: dict[tuple[ModuleId, str], Watched] = {}
        self._publishing: set[asyncio.Task[None]] = set()
        self._supervisor = os.getppid()
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        """Of the scripts; this service prefers itself afterwards."""
        self._spares: list[Spare] = []
        self._untidy: set[ModuleId] = set()
        self._tidying: asyncio.TimerHandle | None = None

    async def run_script(self, order: Envelope[RunScript]) -> None:
        """Start the run, or repeat its result, or go on waiting for it: whichever it needs."""
        module, wanted = order.module, order.payload
        if (module, wanted.run) in self._watched:
            return
        try:
            record = self._records.read(module, wanted.run)
            if record is not None and record.finished:
                await self._publish(module, record.fact(), order.id, order.trace)
            else:
                await self._run_or_adopt(order)
        except (OperatorError, OSError) as error:
            log.error("script %s of module %s cannot be run: %s", wanted.script, module, error)
            await self._publish(module, _not_started(wanted), order.id, order.trace)

    async def forget_scripts(self, order: Envelope[ForgetScripts]) -> None:
        """End every running script of the module; each is reported as it ends."""
        for (module, run), watched in self._watched.items():
            if module == order.module:
                log.info("script run %s of module %s is ended: %s", run, module, order.payload.reason)
                _signal_runner(watched.descriptor)

    async def report(self, module: ModuleId) -> None:
        """Publish the newest finished run, of one module or of all."""
        for known in list(self._records.modules()):
            if module in (known, NODE_SCOPE):
                finished = [record for record in self._records.of_module(known) if record.finished]
                if finished:
                    await self._publish(known, finished[-1].fact(), "", "")

    async def resume(self) -> None:
        """After a restart: find the runs that an earlier service started."""
        for module in list(self._records.modules()):
            for record in self._records.of_module(module):
                if not record.finished:
                    await self._adopt_or_close(module, record.run, "", "")

    def tidy(self) -> None:
        """Have spares ready, and remove what is no longer kept."""
        self._tidying = None
        try:
            while len(self._spares) < SPARES:
                self._spares.append(make_spare(self._supervisor, self._nice))
        except OSError as error:
            log.warning("no runner can be made in advance: %s", error)
        while self._untidy:
            module = self._untidy.pop()
            self._records.prune(module)
            prune_logs(self._log_dir(module))

    def close(self) -> None:
        """Stop waiting; the runners that have a run go on."""
        for watched in self._watched.values():
            asyncio.get_running_loop().remove_reader(watched.waited_for)
            watched.close()
        self._watched.clear()
        for spare in self._spares:
            spare.close()
        self._spares.clear()
        if self._tidying is not None:
            self._tidying.cancel()

    async def _run_or_adopt(self, order: Envelope[RunScript]) -> None:
        module, wanted = order.module, order.payload
        checked_name("module", module)
        script = script_dir(self._settings, module) / _checked_script(wanted.script)
        if not script.is_file():
            absent = ScriptFinished(
                run=wanted.run, script=wanted.script, exit_code=0, duration_ms=0.0, timed_out=False, log=""
            )
            await self._publish(module, absent, order.id, order.trace)
            return
        lock = self._records.lock(module, wanted.run)
        if lock is None or self._records.read(module, wanted.run) is not None:
            if lock is not None:
                os.close(lock)
            await self._adopt_or_close(module, wanted.run, order.id, order.trace)
            return
        try:
            if len(self._watched) >= RUNS_MAX:
                raise OperatorError(f"{RUNS_MAX} scripts are running on this node already")
            runner = self._start(self._run(order, script), lock)
        finally:
            os.close(lock)
        self._watch(
            module,
            wanted.run,
            Watched(descriptor=runner.descriptor, channel=runner.channel, cause=order.id, trace=order.trace),
        )
        self._untidy.add(module)
        if self._tidying is not None:
            self._tidying.cancel()
        self._tidying = asyncio.get_running_loop().call_later(TIDY_S, self.tidy)

    def _start(self, run: Run, lock: int) -> Spare:
        """Hand the run to a spare, or to a runner made now when there is none."""
        while self._spares:
            spare = self._spares.pop()
            try:
                spare.start(run, lock)
            except ConnectionError:
                # Somebody killed it while it waited.
                spare.close()
            else:
                return spare
        spare = make_spare(self._supervisor, self._nice)
        spare.start(run, lock)
        return spare

    def _run(self, order: Envelope[RunScript], script: Path) -> Run:
        module, wanted = order.module, order.payload
        now_ns = self._context.clock.wall_ns()
        path = self._log_dir(module) / log_name(wanted.script, now_ns) if wanted.log_bytes_max > 0 else None
        return Run(
            script=script,
            arguments=wanted.arguments,
            environment=script_environment(
                self._settings, module, variables=wanted.environment, inherited=os.environ, trace=order.trace
            ),
            timeout_ms=wanted.timeout_ms,
            log=path,
            log_bytes_max=wanted.log_bytes_max,
            record=Record(
                run=wanted.run,
                script=wanted.script,
                runner=0,
                started_at_wall_ns=now_ns,
                log=str(path) if path else "",
            ),
            record_path=self._records.path(module, wanted.run),
            host_name=wanted.host_name,
            has_host_name=wanted.has_host_name,
        )

    def _log_dir(self, module: ModuleId) -> Path:
        return self._settings.module_dir(module) / "log"

    async def _adopt_or_close(self, module: ModuleId, run: str, cause: str, trace: str) -> None:
        """A record that says running, or a held lock: wait for its runner, or close the record when that is gone."""
        record = await self._record_of_runner(module, run)
        lock = self._records.lock(module, run)
        if lock is None and record is not None and not record.finished:
            await self._adopt(module, run, record.runner, cause, trace)
            return
        if lock is not None:
            os.close(lock)
        await self._collect(module, run, cause, trace)

    async def _record_of_runner(self, module: ModuleId, run: str) -> Record | None:
        """The record; waits a moment for one that a runner is about to write."""
        deadline = asyncio.get_running_loop().time() + RECORD_WAIT_S
        while (record := self._records.read(module, run)) is None:
            if asyncio.get_running_loop().time() >= deadline:
                return None
            await asyncio.sleep(RECORD_LOOK_S)
        return record

    async def _adopt(self, module: ModuleId, run: str, pid: int, cause: str, trace: str) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            await self._collect(module, run, cause, trace)
            return
        record = self._records.read(module, run)
        if record is not None and record.finished:
            # It ended before we could look at it, and its number may belong to another process by now.
            os.close(descriptor)
            await self._collect(module, run, cause, trace)
            return
        self._watch(module, run, Watched(descriptor=descriptor, channel=None, cause=cause, trace=trace))

    def _watch(self, module: ModuleId, run: str, watched: Watched) -> None:
        self._watched[module, run] = watched
        asyncio.get_running_loop().add_reader(watched.waited_for, self._ended, module, run)

    def _ended(self, module: ModuleId, run: str) -> None:
        watched = self._watched.pop((module, run))
        loop = asyncio.get_running_loop()
        loop.remove_reader(watched.waited_for)
        watched.close()
        task = loop.create_task(self._collect(module, run, watched.cause, watched.trace))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _collect(self, module: ModuleId, run: str, cause: str, trace: str) -> None:
        """Publish how a run ended whose runner is gone."""
        record = self._records.read(module, run)
        if record is None:
            record = Record(run=run, script="", runner=0, started_at_wall_ns=self._context.clock.wall_ns(), log="")
        if not record.finished:
            log.warning("the runner of script run %s of module %s was killed, and the script with it", run, module)
            record = record.killed()
            self._records.write(module, record)
        await self._publish(module, record.fact(), cause, trace)
        if is_trace(trace):
            await self._context.publish(NODE_SCOPE, _span(record, module, trace, self._settings.node))

    async def _publish(self, module: ModuleId, fact: ScriptFinished, cause: str, trace: str) -> None:
        await self._context.publish(module, fact, cause=cause, trace=trace)


def _checked_script(name: str) -> str:
    if not _SCRIPT.match(name):
        raise OperatorError(f"script name {name[:40]!r} is not valid", hint="a file in the module's bin")
    return name


def _not_started(wanted: RunScript) -> ScriptFinished:
    return ScriptFinished(
        run=wanted.run, script=wanted.script, exit_code=EXIT_NOT_STARTED, duration_ms=0.0, timed_out=False, log=""
    )


def _span(record: Record, module: ModuleId, trace: str, node: NodeId) -> SpanEnded:
    """The run as a span of `trace`, made by hand.

    The tracing library must not live in this process: it takes locks and starts threads in every fork, and a runner is
    a fork that never executes another program.
    """
    _version, trace_id, parent, _flags = trace.split("-")
    return SpanEnded(
        trace_id=trace_id,
        span_id=secrets.token_hex(8),
        parent_span_id=parent,
        name=f"script {record.script}",
        service=f"{node}/scripts",
        start_wall_ns=record.started_at_wall_ns,
        end_wall_ns=record.started_at_wall_ns + int(record.duration_ms * 1e6),
        attributes={"module": module, "run": record.run, "exit_code": str(record.exit_code)},
    )


def _signal_runner(descriptor: int) -> None:
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except ProcessLookupError:
        return


async def serve(context: Context) -> None:
    """Set the service up and let it work until it is stopped."""
    write_safe_tree(safe_dir(context.settings))
    scripts = Scripts(context)
    prefer_for_takeover()
    await scripts.resume()
    await context.on_order(RunScript, scripts.run_script)
    await context.on_order(ForgetScripts, scripts.forget_scripts)
    context.on_report(scripts.report)
    await ready(context)
    scripts.tidy()
    await context.stopping.wait()
    scripts.close()
