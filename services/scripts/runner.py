"""The small process that runs one script, outlives the service, and writes down how the script ended.

It is forked twice, so that it belongs to nobody who could die before it, and has a session of its own. It waits on
process descriptors (pidfd_open(2)) for the script and for the supervisor: when the supervisor is gone, the node is
giving up, and the script is ended with it. If the runner itself is killed the kernel ends the script
(PR_SET_PDEATHSIG), so no script runs that nobody watches.

Forking without executing is safe only from a process with one thread and without libraries that act on forks. The
scripts service is kept such a process: no thread pool, no tracing library (`service._span`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from services.scripts.output import Output
from services.scripts.record import Record, write_record

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: enough to remove a lock file, too short to matter beside any script's own limit."""
TIMEOUT_MS_MAX = 24 * 3600 * 1000
EXIT_NOT_STARTED = -1
EXIT_BROKEN = 70
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run to be made. log None: the output is not kept. lock: descriptor that holds the run's lock."""

    script: Path
    arguments: tuple[str, ...]
    environment: dict[str, str]
    timeout_ms: int
    log: Path | None
    log_bytes_max: int
    record: Record
    record_path: Path
    lock: int


def start_runner(run: Run, supervisor: int) -> int:
    """Fork a runner for `run` and return its pid at once; it ends the script when process `supervisor` ends.

    Raises OSError when no process can be made.
    """
    read_end, write_end = os.pipe()
    between = os.fork()
    if between == 0:
        code = EXIT_BROKEN
        try:
            os.setsid()
            runner = os.fork()
            if runner:
                os.write(write_end, str(runner).encode())
                code = 0
            else:
                _become_runner(run.lock)
                Runner(run, supervisor).run_script()
                code = 0
        finally:
            # A forked copy of the service must never return into the service's event loop.
            os._exit(code)
    os.close(write_end)
    text = os.read(read_end, 32)
    os.close(read_end)
    os.waitpid(between, 0)
    if not text:
        raise OSError(errno.EAGAIN, "the runner process could not be made")
    return int(text)


def _become_runner(lock: int) -> None:
    """Shed what was inherited from the service: its descriptors (bus, supervisor) and its signal handling."""
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, lock)
    os.closerange(lock + 1, os.sysconf("SC_OPEN_MAX"))


class Runner:
    """Runs the script of one `Run`, in the runner process."""

    def __init__(self, run: Run, supervisor: int) -> None:
        self._run = run
        self._supervisor = supervisor
        self._record = replace(run.record, runner=os.getpid())
        self._timed_out = False
        self._kill_sent = False
        self._deadline = time.monotonic() + min(run.timeout_ms, TIMEOUT_MS_MAX) / 1000

    def run_script(self) -> None:
        """Run it to its end; the finished record is on disk when this returns."""
        write_record(self._run.record_path, self._record)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        read_end, write_end = os.pipe()
        output = Output(read_end, self._run.log, self._run.log_bytes_max)
        started_at = time.monotonic()
        child, problem = _start_script(self._run, write_end)
        os.close(write_end)
        if problem:
            output.write(f"the script {self._run.script} could not be started: {problem}")
            os.waitpid(child, 0)
            self._finish(EXIT_NOT_STARTED, started_at)
            return
        code = self._wait(child, output, wake_read)
        if self._kill_sent:
            # Its end was not its own decision: nothing of its session stays behind.
            _signal_session(child, signal.SIGKILL)
        is_open = output.take_rest()
        self._finish(code, started_at)
        if is_open:
            output.hand_over()

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
        _signal_session(child, signal.SIGKILL if self._kill_sent else signal.SIGTERM)
        self._kill_sent = True
        self._deadline = time.monotonic() + GRACE_S

    def _finish(self, code: int, started_at: float) -> None:
        duration_ms = (time.monotonic() - started_at) * 1000
        self._record = replace(
            self._record, finished=True, exit_code=code, duration_ms=duration_ms, timed_out=self._timed_out
        )
        write_record(self._run.record_path, self._record)


def _start_script(run: Run, write_end: int) -> tuple[int, str]:
    """Fork and execute; return the pid, and why it could not be executed (empty when it is running)."""
    problem_read, problem_write = os.pipe()
    runner = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _execute(run, write_end, runner)
        except OSError as error:
            os.write(problem_write, (error.strerror or str(error)).encode())
        finally:
            os._exit(127)
    os.close(problem_write)
    problem = os.read(problem_read, 512).decode(errors="replace")
    os.close(problem_read)
    return child, problem


def _execute(run: Run, write_end: int, runner: int) -> None:
    """In the child: a session of its own, output into the pipe, signals as a fresh program expects them."""
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
        # Python ignores the first two, and what is ignored stays ignored across exec (signal(7)).
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    os.dup2(write_end, 1)
    os.dup2(write_end, 2)
    os.chdir(run.script.parent)
    program = str(run.script)
    try:
        os.execve(program, [program, *run.arguments], run.environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # No `#!` line: a shell script, as every shell takes it (POSIX, command search and execution).
        os.execve("/bin/sh", ["/bin/sh", program, *run.arguments], run.environment)


def _signal_session(leader: int, number: signal.Signals) -> None:
    """Signal the script's process group and every process that is still in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
    for pid in _session_members(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _session_members(session: int) -> Iterator[int]:
    """Fields of /proc/<pid>/stat after the command name: state, ppid, pgrp, session (proc_pid_stat(5))."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path("/proc", name, "stat").read_text(errors="replace")
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        if len(fields) > 3 and int(fields[3]) == session:
            yield int(name)
