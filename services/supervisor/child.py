"""Starts a process: a fork that runs a service's `main`, or another program that ends when the supervisor does."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import inspect
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.errors import ExitCode, HoldfastError
from holdfast.service.notify import FIRST_KEPT_FD
from holdfast.service.priority import prefer_for_takeover
from holdfast.service.title import set_title

from services.supervisor.registry import Target

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
DESCRIPTORS_MAX = 1 << 20
_PARKED_FD_MIN = 512
"""Kept descriptors are first copied above this number, out of the way of those that are closed."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)
"""Those that the supervisor handles and a child must not inherit a handler for."""
log = logging.getLogger("holdfast.supervisor")


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What a service gets from its supervisor: environment on top of our own, and kept descriptors by name.

    niceness: its priority (setpriority(2)) until it asks for another.
    """

    environment: Mapping[str, str]
    kept: Mapping[str, int]
    niceness: int


def start_service(target: Target, inheritance: Inheritance) -> int:
    """Fork a child that runs the service and return its process number; the child never returns from here."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = int(ExitCode.INVARIANT)
    try:
        _end_with_parent(supervisor)
        _become(target, inheritance)
        code = _call(target)
    finally:
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        # The frames and objects of the supervisor must not be unwound or finalised in the child.
        os._exit(code)


def start_program(title: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Fork and execute another program, with standard output on our standard error; return its process number."""
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _end_with_parent(supervisor)
        _reset_signals()
        prefer_for_takeover()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        os.execve(command[0], list(command), {**os.environ, **environment})
    finally:
        os.write(2, f"{title}: {command[0]} cannot be executed: {sys.exc_info()[1]}\n".encode())
        os._exit(127)


def _end_with_parent(supervisor: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor:
        os._exit(int(ExitCode.UNAVAILABLE))


def _become(target: Target, inheritance: Inheritance) -> None:
    _reset_signals()
    # Handlers own descriptors; closed now, they cannot close a kept one that takes the same number later.
    for handler in logging.getLogger().handlers[:]:
        logging.getLogger().removeHandler(handler)
        handler.close()
    _place(list(inheritance.kept.values()))
    os.environ.update(inheritance.environment)
    for name in ("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"):
        os.environ.pop(name, None)
    if inheritance.kept:
        os.environ["LISTEN_FDS"] = str(len(inheritance.kept))
        os.environ["LISTEN_FDNAMES"] = ":".join(inheritance.kept)
        os.environ["LISTEN_PID"] = str(os.getpid())
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, inheritance.niceness)
    set_title(f"hf-{target.name}")
    sys.argv = [f"holdfast-{target.name.partition('@')[0]}", target.name]


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place(kept: Sequence[int]) -> None:
    """Close everything inherited but the standard streams, and put the kept descriptors from number 3 on."""
    parked = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _PARKED_FD_MIN) for fd in kept]
    os.closerange(FIRST_KEPT_FD, _PARKED_FD_MIN)
    for place, fd in enumerate(parked):
        os.dup2(fd, FIRST_KEPT_FD + place, inheritable=False)
    os.closerange(FIRST_KEPT_FD + len(parked), DESCRIPTORS_MAX)
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)


def _call(target: Target) -> int:
    try:
        main: Callable[..., int | None] = importlib.import_module(target.module).main
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"service {target.name} cannot be started: {target.module}.main: {error}\n")
        return int(ExitCode.ENVIRONMENT)
    try:
        code = main([target.name]) if inspect.signature(main).parameters else main()
    except HoldfastError as error:
        sys.stderr.write(f"service {target.name} ends: {error}\n")
        return int(error.exit_code)
    except SystemExit as error:
        return (
            error.code if isinstance(error.code, int) else int(ExitCode.OK if error.code is None else ExitCode.FAILED)
        )
    return int(code or 0)
