"""Runners made in advance: a run only has to be handed to one.

Forking a Python process and its child takes tens of milliseconds on a busy machine, and in a takeover clients wait for
every script. So a spare is a runner that waits for its run, and beside it a process that waits to become the script:
nothing is left to do but to execute it.

A runner is forked twice, so that it belongs to nobody who could die before it, and has a process group of its own. A
spare ends with the service that made it; a runner that has a run does not.

Forking without executing is safe only from a process with one thread and without libraries that act on forks. The
scripts service is kept such a process: no thread pool, no tracing library (`service._span`).
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import pickle
import signal
import socket
from dataclasses import dataclass

from holdfast.scripting.host_name import NAMESPACE_VARIABLE, enter

from services.scripts.runner import Run, Runner, Stage

EXIT_BROKEN = 70
EXIT_NOT_EXECUTED = 127
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
PID_BYTES_MAX = 32
WORD_BYTES_MAX = 16
RUN_BYTES_MAX = 4 << 20
"""Arguments and environment of a program take at most 2 MiB (execve(2)); their quoting takes some more."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Spare:
    """A runner, by its number and a descriptor of it (pidfd_open(2)). channel: takes its run, says when that is over,
    and closes with it."""

    pid: int
    descriptor: int
    channel: socket.socket

    def start(self, run: Run, lock: int) -> None:
        """Hand the run over, with the descriptor that holds its lock. Raises ConnectionError when it was killed."""
        text = os.memfd_create("run")
        try:
            os.write(text, pickle.dumps(run))
            socket.send_fds(self.channel, [b"run"], [text, lock])
        finally:
            os.close(text)

    def close(self) -> None:
        """Let go of it: without a run it ends, with one it goes on."""
        self.channel.close()
        os.close(self.descriptor)


def make_spare(supervisor: int, nice: int) -> Spare:
    """Fork a runner that will end its script when process `supervisor` ends; the script gets the niceness `nice`.

    Raises OSError when no process can be made.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    between = os.fork()
    if between == 0:
        code = EXIT_BROKEN
        try:
            # A group of its own, but the session of the service: with it goes the service's share of the CPU
            # (sched(7), autogroup).
            os.setpgid(0, 0)
            runner = os.fork()
            if runner:
                theirs.send(str(runner).encode())
            else:
                _be_runner(theirs, supervisor, nice)
            code = 0
        finally:
            # A forked copy of the service must never return into the service's event loop.
            os._exit(code)
    theirs.close()
    os.waitpid(between, 0)
    try:
        text = ours.recv(PID_BYTES_MAX)
        if not text:
            raise OSError(errno.EAGAIN, "the runner process could not be made")
        return Spare(pid=int(text), descriptor=os.pidfd_open(int(text)), channel=ours)
    except OSError:
        ours.close()
        raise


def _be_runner(channel: socket.socket, supervisor: int, nice: int) -> None:
    _shed(channel)
    stage = _fork_stage(channel, nice)
    _word, descriptors, _flags, _address = socket.recv_fds(channel, WORD_BYTES_MAX, 2)
    if len(descriptors) == 2:
        for descriptor in descriptors:
            # The second one holds the lock for as long as this process lives, and no other.
            os.set_inheritable(descriptor, False)
        Runner(_run_in(descriptors[0]), descriptors[0], supervisor, channel).run_script(stage)


def _shed(channel: socket.socket) -> None:
    """Let go of what was inherited from the service: its descriptors (bus, supervisor) and its signal handling."""
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))


def _fork_stage(channel: socket.socket, nice: int) -> Stage:
    line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            line.close()
            channel.close()
            _be_stage(other, runner, nice)
        finally:
            os._exit(EXIT_NOT_EXECUTED)
    other.close()
    return Stage(pid=pid, line=line)


def _be_stage(line: socket.socket, runner: int, nice: int) -> None:
    """Wait for the run and become its script: in a session of its own, with signals as a fresh program expects them."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        return
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores them, and what is ignored stays ignored across exec (signal(7)).
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    _word, descriptors, _flags, _address = socket.recv_fds(line, WORD_BYTES_MAX, 2)
    if len(descriptors) != 2:
        return
    run = _run_in(descriptors[0])
    os.setsid()
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    os.dup2(descriptors[1], 1)
    os.dup2(descriptors[1], 2)
    os.closerange(3, line.fileno())
    os.closerange(line.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    try:
        _execute(run)
    except OSError as error:
        line.send((error.strerror or str(error)).encode())


def _execute(run: Run) -> None:
    program = str(run.script)
    os.chdir(run.script.parent)
    environment = run.environment
    if run.host_name:
        environment = {**environment, NAMESPACE_VARIABLE: enter(run.host_name, now=run.has_host_name)}
    try:
        os.execve(program, [program, *run.arguments], environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # No `#!` line: a shell script, as every shell takes it (POSIX, command search and execution).
        os.execve("/bin/sh", ["/bin/sh", program, *run.arguments], environment)


def _run_in(text: int) -> Run:
    run = pickle.loads(os.pread(text, RUN_BYTES_MAX, 0))
    assert isinstance(run, Run), "a runner is sent a run"
    return run
