"""The small process that runs one script, outlives the service, and writes down how the script ended.

It waits on process descriptors (pidfd_open(2)) for the script and for the supervisor: when the supervisor is gone, the
node is giving up, and the script is ended with it. If the runner itself is killed the kernel ends the script
(PR_SET_PDEATHSIG), so no script runs that nobody watches. Where runners come from: `spare`.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

from services.scripts.output import Output
from services.scripts.record import EXIT_KILLED, Record, write_record

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: enough to remove a lock file, too short to matter beside any script's own limit."""
UNENDING_S = 6.0
"""After SIGKILL: a process ends at once unless the kernel holds it, and a slow disk gets some seconds."""
TIMEOUT_MS_MAX = 24 * 3600 * 1000
EXIT_NOT_STARTED = -1
PROBLEM_BYTES_MAX = 512
"""Of why a script could not be executed."""
OVER = b"over"
"""What a runner says to its service when the finished record is on disk."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run to be made. log None: the output is not kept. host_name, has_host_name: as in the order."""

    script: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    timeout_ms: int
    log: Path | None
    log_bytes_max: int
    record: Record
    record_path: Path
    host_name: str = ""
    has_host_name: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The process that becomes the script. line: it takes the run from there, and says if it cannot be executed."""

    pid: int
    line: socket.socket


class Runner:
    """Runs the script of one `Run`, in the runner process. text: that run as it was sent."""

    def __init__(self, run: Run, text: int, supervisor: int, service: socket.socket) -> None:
        self._run = run
        self._text = text
        self._service = service
        self._supervisor = supervisor
        self._record = replace(run.record, runner=os.getpid())
        self._timed_out = False
        self._kill_sent = False
        self._given_up_at = math.inf
        self._deadline = time.monotonic() + min(run.timeout_ms, TIMEOUT_MS_MAX) / 1000

    def run_script(self, stage: Stage) -> None:
        """Run it to its end; the finished record is on disk when this returns."""
        write_record(self._run.record_path, self._record)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        read_end, write_end = os.pipe()
        output = Output(read_end, self._run.log, self._run.log_bytes_max)
        started_at = time.monotonic()
        problem = self._begin(stage, write_end)
        os.close(write_end)
        if problem:
            output.write(f"the script {self._run.script} could not be started: {problem}")
            os.waitpid(stage.pid, 0)
            self._finish(EXIT_NOT_STARTED, started_at)
            return
        code = self._wait(stage.pid, output, wake_read)
        if self._kill_sent:
            # Its end was not its own decision: nothing of its session stays behind.
            _signal_session(stage.pid, signal.SIGKILL)
        is_open = output.take_rest()
        self._finish(code, started_at)
        if is_open:
            output.hand_over()

    def _begin(self, stage: Stage, write_end: int) -> str:
        """Have the script executed; return why it could not be (empty when it is running)."""
        try:
            socket.send_fds(stage.line, [b"run"], [self._text, write_end])
            return stage.line.recv(PROBLEM_BYTES_MAX).decode(errors="replace")
        except ConnectionError:
            return "its process was killed"

    def _wait(self, child: int, output: Output, wake: int) -> int:
        """Wait for the script process itself, whoever else still holds its output; return its exit code."""
        script = os.pidfd_open(child)
        poller = select.poll()
        for descriptor in (script, output.read_end, wake):
            poller.register(descriptor, select.POLLIN)
        supervisor = self._watch_supervisor(poller, child)
        while True:
            ready = {descriptor for descriptor, _event in poller.poll(self._wait_ms())}
            if output.read_end in ready and not output.take():
                poller.unregister(output.read_end)
            if script in ready:
                _pid, status = os.waitpid(child, 0)
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if time.monotonic() >= self._given_up_at:
                # The kernel holds it, for a disk or a file system that does not answer. Whoever waits for the run may
                # be the one who could help, so it must be told.
                output.write(f"the script was killed and did not end within {UNENDING_S:g} s; it is left behind")
                return EXIT_KILLED
            if wake in ready or supervisor in ready:
                os.read(wake, 64) if wake in ready else poller.unregister(supervisor)
                self._end(child)
            elif time.monotonic() >= self._deadline:
                self._timed_out = self._timed_out or not self._kill_sent
                self._end(child)

    def _watch_supervisor(self, poller: select.poll, child: int) -> int:
        try:
            descriptor = os.pidfd_open(self._supervisor)
        except ProcessLookupError:
            self._end(child)
            return -1
        poller.register(descriptor, select.POLLIN)
        return descriptor

    def _wait_ms(self) -> float:
        return max(0.0, (self._deadline - time.monotonic()) * 1000)

    def _end(self, child: int) -> None:
        """Ask the whole session to end; the second time, and after GRACE_S, make it."""
        now = time.monotonic()
        if self._kill_sent:
            self._given_up_at = min(self._given_up_at, now + UNENDING_S)
        _signal_session(child, signal.SIGKILL if self._kill_sent else signal.SIGTERM)
        self._kill_sent = True
        self._deadline = now + GRACE_S

    def _finish(self, code: int, started_at: float) -> None:
        duration_ms = (time.monotonic() - started_at) * 1000
        self._record = replace(
            self._record, finished=True, exit_code=code, duration_ms=duration_ms, timed_out=self._timed_out
        )
        write_record(self._run.record_path, self._record)
        with contextlib.suppress(OSError):
            # Without a service to hear it, the next one reads the record.
            self._service.send(OVER)


def _signal_session(leader: int, number: signal.Signals) -> None:
    """Signal the script's process group and every process that is still in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
    for name in os.listdir("/proc"):
        if name.isdigit():
            _signal_member(int(name), leader, number)


def _signal_member(pid: int, session: int, number: signal.Signals) -> None:
    """Signal a process if it is in the session.

    It is asked for by system calls: a process that waits without end while it executes a program (for a file system
    that hangs) holds up every reader of its /proc entry. It is held by a descriptor before it is looked at, so a number
    that is given to another process meanwhile does no harm.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        descriptor = os.pidfd_open(pid)
        try:
            if os.getsid(pid) == session:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
