"""Processes of a lab: recorded so that they can be recognised later, found, stopped and ended.

A process is known by its number and its start time, so that a reused number is never mistaken for it, and
every process that a lab starts carries the lab's name in its environment, so that none is lost when a record
was not written.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.lab.errors import LabError

LAB_VARIABLE: Final = "HOLDFAST_LAB"
"""Environment variable of every process of a lab; the value is the lab's directory."""

END_TIMEOUT_S: Final = 10.0
"""A killed process is gone at once, unless the kernel holds it in a system call."""
STANDSTILL_TIMEOUT_S: Final = 2.0
STANDSTILL_POLL_S: Final = 0.001
_STOP_ROUNDS_MAX: Final = 50
"""Rounds of looking for processes that appeared while others were being stopped."""


@dataclass(frozen=True, kw_only=True)
class ProcessMark:
    """A process: its number, and its start in clock ticks since boot (proc(5), field 22 of stat)."""

    pid: int
    started: int


def mark(pid: int) -> ProcessMark:
    """The mark of a running process; raises LabError when there is none."""
    status = _read_status(pid)
    if status is None:
        raise LabError(f"process {pid} ended before it could be recorded")
    return ProcessMark(pid=pid, started=status[1])


def is_alive(process: ProcessMark | None) -> bool:
    """Whether this very process runs (a zombie does not)."""
    if process is None:
        return False
    status = _read_status(process.pid)
    return status is not None and status[1] == process.started and status[0] not in "ZX"


def end(processes: Iterable[ProcessMark | None], *, timeout_s: float = END_TIMEOUT_S) -> None:
    """Kill these processes and wait until they are gone; raises LabError when one stays."""
    known = [process for process in processes if process is not None]
    watched = [(process, fd) for process in known if (fd := _open(process)) is not None]
    try:
        for _, fd in watched:
            _signal(fd, signal.SIGKILL)
        deadline = time.monotonic() + timeout_s
        for process, fd in watched:
            if not _wait(fd, deadline) and is_alive(process):
                raise LabError(f"process {process.pid} does not end", hint="the kernel holds it; see its stack")
    finally:
        for _, fd in watched:
            os.close(fd)


def reap(processes: Iterable[ProcessMark | None]) -> None:
    """Take away the zombies of those of these processes that were children of this one."""
    for process in processes:
        if process is not None and _read_status(process.pid) == ("Z", process.started):
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue


def stop_all(members: Callable[[], set[int]]) -> int:
    """SIGSTOP every process that `members` names, and again until no new one appears; returns how many.

    The signal takes effect a moment after it is sent, so this waits until each process stands still. One that the
    kernel holds in a system call stops when that ends; it is not waited for beyond a limit, since it does nothing.
    """
    stopped: set[int] = set()
    for _ in range(_STOP_ROUNDS_MAX):
        fresh = members() - stopped
        if not fresh:
            _await_standstill(stopped)
            return len(stopped)
        send(fresh, signal.SIGSTOP)
        stopped |= fresh
    raise LabError("new processes keep appearing while the node is being paused")


def _await_standstill(pids: Iterable[int]) -> None:
    deadline = time.monotonic() + STANDSTILL_TIMEOUT_S
    for pid in pids:
        while (status := _read_status(pid)) is not None and status[0] in "RS" and time.monotonic() < deadline:
            time.sleep(STANDSTILL_POLL_S)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still is there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def in_namespace_of(init: ProcessMark) -> set[int]:
    """The processes in the pid namespace whose first process is `init`, by the machine's numbers."""
    wanted = _namespace(init.pid)
    return {pid for pid in _all() if wanted is not None and _namespace(pid) == wanted}


def of_lab(directory: Path) -> list[ProcessMark]:
    """Every process that carries the lab's mark, except this one and its ancestors."""
    needle = f"{LAB_VARIABLE}={directory}\0".encode()
    own = _ancestry()
    marks: list[ProcessMark] = []
    for pid in _all() - own:
        if needle in _read(f"/proc/{pid}/environ") + b"\0":
            status = _read_status(pid)
            if status is not None and status[0] not in "ZX":
                marks.append(ProcessMark(pid=pid, started=status[1]))
    return marks


def arguments(pid: int) -> list[str]:
    """The arguments of a process; empty when it has none or is gone."""
    raw = _read(f"/proc/{pid}/cmdline")
    return [word.decode(errors="replace") for word in raw.split(b"\0") if word]


def name(pid: int) -> str:
    """The name of a process, at most 15 characters; empty when it is gone."""
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def _all() -> set[int]:
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _read_status(pid: int) -> tuple[str, int] | None:
    """State letter and start time; the name before them may hold blanks and brackets."""
    text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    fields = text.rpartition(")")[2].split()
    return (fields[0], int(fields[19])) if len(fields) > 19 else None


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def _ancestry() -> set[int]:
    pids = {os.getpid()}
    pid = os.getppid()
    while pid > 0:
        pids.add(pid)
        fields = _read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return pids


def _open(process: ProcessMark) -> int | None:
    """A descriptor of this very process: opened first, then checked, so that it cannot be another."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return None
    if is_alive(process):
        return fd
    os.close(fd)
    return None


def _signal(fd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return


def _wait(fd: int, deadline: float) -> bool:
    """Whether the process ended before the deadline; a readable descriptor says so (pidfd_open(2))."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def is_stopped(process: ProcessMark) -> bool:
    """Whether a running process was stopped by a signal."""
    status = _read_status(process.pid)
    return status is not None and status[0] == "T"
