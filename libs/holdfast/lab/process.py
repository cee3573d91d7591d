"""Processes of a lab: recorded so that they can be recognised later, found, stopped and ended.

A process is known by its number and its start time, so that a reused number is never mistaken for it, and
every process that a lab starts carries the lab's name in its environment, so that none is lost when a record
was not written.

A process that waits without end while it executes a program (for a file system that hangs) holds up every reader of
most of its /proc entry; `status` and `mountinfo` can be read all the same. What else is read of processes that are not
known to be ours is read in a thread, with a limit.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.lab.errors import LabError

LAB_VARIABLE: Final = "HOLDFAST_LAB"
"""Environment variable of every process of a lab; the value is the lab's directory."""

END_TIMEOUT_S: Final = 10.0
"""A killed process is gone at once, unless the kernel holds it in a system call."""
STUCK_AFTER_S: Final = 2.0
"""A killed process that is not gone by then is helped: the kernel takes down a whole node within some tenths of it."""
READ_TIMEOUT_S: Final = 1.0
"""For the environment of one process, which takes microseconds."""
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


def end(
    processes: Iterable[ProcessMark | None],
    *,
    timeout_s: float = END_TIMEOUT_S,
    unstick: Callable[[], object] = lambda: None,
) -> None:
    """Kill these processes and wait until they are gone; raises LabError when one stays.

    `unstick` is called once when they are not gone after STUCK_AFTER_S.
    """
    known = [process for process in processes if process is not None]
    watched = [(process, fd) for process in known if (fd := _open(process)) is not None]
    try:
        for _, fd in watched:
            _signal(fd, signal.SIGKILL)
        began = time.monotonic()
        if not all(_wait(fd, began + STUCK_AFTER_S) for _, fd in watched):
            unstick()
        for process, fd in watched:
            if not _wait(fd, began + timeout_s) and is_alive(process):
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
        while _state_letter(pid) in ("R", "S") and time.monotonic() < deadline:
            time.sleep(STANDSTILL_POLL_S)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still is there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def in_node(upper: Path) -> set[int]:
    """The processes of the node that has this directory as its overlay's upper one, by the machine's numbers.

    Those are in its mount namespace, and one pid namespace below ours: what enters a node from outside has a process
    that is in the first one only.
    """
    depth = len(_numbers(os.getpid())) + 1
    needle = f"upperdir={upper},"
    return {pid for pid in all_pids() if len(_numbers(pid)) == depth and needle in mount_table(pid)}


def mount_table(pid: int) -> str:
    """The mounts that a process sees (proc_pid_mountinfo(5)); of one that is ending, those of a thread it still has."""
    found = _read(f"/proc/{pid}/mountinfo")
    if not found:
        tables = (_read(f"/proc/{pid}/task/{thread}/mountinfo") for thread in _threads(pid))
        found = next(filter(None, tables), b"")
    return found.decode(errors="replace")


def of_lab(directory: Path) -> list[ProcessMark]:
    """Every process that carries the lab's mark, except this one and its ancestors."""
    needle = f"{LAB_VARIABLE}={directory}\0".encode()
    marks: list[ProcessMark] = []
    for pid, environment, status in _environments(all_pids() - _ancestry()):
        if needle in environment + b"\0" and status is not None and status[0] not in "ZX":
            marks.append(ProcessMark(pid=pid, started=status[1]))
    return marks


def arguments(pid: int) -> list[str]:
    """The arguments of a process; empty when it has none or is gone."""
    raw = _read(f"/proc/{pid}/cmdline")
    return [word.decode(errors="replace") for word in raw.split(b"\0") if word]


def name(pid: int) -> str:
    """The name of a process, at most 15 characters; empty when it is gone."""
    return _read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def all_pids() -> set[int]:
    """The processes of the machine."""
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


def _environments(pids: Iterable[int]) -> Iterator[tuple[int, bytes, tuple[str, int] | None]]:
    """Environment and status of each process; those that do not let themselves be read are left out."""
    left = list(pids)
    while left:
        seen: queue.SimpleQueue[tuple[int, bytes, tuple[str, int] | None]] = queue.SimpleQueue()
        threading.Thread(target=_look, args=(tuple(left), seen), daemon=True).start()
        try:
            while left:
                found = seen.get(timeout=READ_TIMEOUT_S)
                left.pop(0)
                yield found
        except queue.Empty:
            left.pop(0)


def _look(pids: Iterable[int], seen: queue.SimpleQueue[tuple[int, bytes, tuple[str, int] | None]]) -> None:
    for pid in pids:
        seen.put((pid, _read(f"/proc/{pid}/environ"), _read_status(pid)))


def _status_line(pid: int, name: str) -> str:
    """One line of `status`, without its name; empty when the process is gone."""
    for line in _read(f"/proc/{pid}/status").decode(errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


def _state_letter(pid: int) -> str:
    return _status_line(pid, "State")[:1]


def _numbers(pid: int) -> list[str]:
    """The numbers of a process in its pid namespace and those above it, from ours on."""
    return _status_line(pid, "NSpid").split()


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


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
    return _state_letter(process.pid) == "T"
