"""Reads the process table of this node from /proc, and nothing there that can be made to wait.

A process that hangs in the kernel while it executes a program holds `exec_update_lock`, and whoever reads its `stat`,
`exe`, `ns/*`, `environ` or `maps` waits for it (`stat` and `ns/*` in kernels with "proc: protect ptrace_may_access()
with exec_update_lock", such as 6.18.44). `comm`, `status` and `cgroup` take no lock that a process can hold for long.
Argument lists are read apart (`arguments.py`).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from holdfast.events.module import ProcessWatch

from services.checkers.process.arguments import Arguments
from services.checkers.process.matching import Seen, has_arguments, has_command, has_unit

READ_BYTES_MAX = 1 << 16
_GONE = ("Z", "X")
"""States of processes that have ended (proc_pid_status(5)): zombie, dead."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look at the table has found. unread: processes of which it cannot be told now whether they are meant.

    cost_s: how long the processor was busy with it.
    """

    meant: tuple[Seen, ...]
    unread: tuple[Seen, ...] = ()
    cost_s: float = 0.0


class ProcessTable:
    """Finds the processes that a watch means: those of our own pid namespace, zombies left out."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = str(proc)
        self._own = os.getpid()
        self._depth = len(_status(self._read("self", "status")).get("NSpid", "").split())
        self._arguments = Arguments(self._proc)

    async def find(self, watch: ProcessWatch) -> Found:
        """Return the processes, by number."""
        began_at = time.monotonic()
        seen = sorted(self._candidates(watch), key=lambda each: each.pid)
        cost_s = time.monotonic() - began_at
        if not watch.argument_regex or not seen:
            return Found(meant=tuple(seen), cost_s=cost_s)
        arguments = await self._arguments.read([each.pid for each in seen])
        return Found(
            meant=tuple(each for each in seen if has_arguments(watch, arguments.get(each.pid))),
            unread=tuple(each for each in seen if each.pid not in arguments),
            cost_s=cost_s,
        )

    def _candidates(self, watch: ProcessWatch) -> list[Seen]:
        """All whose command and unit fit."""
        found: list[Seen] = []
        for name in os.listdir(self._proc):
            if name.isdigit() and int(name) != self._own:
                command = self._read(name, "comm").removesuffix("\n")
                if command and has_command(watch, command) and self._is_ours(watch, name):
                    found.append(Seen(pid=int(name), command=command))
        return found

    def _is_ours(self, watch: ProcessWatch, pid: str) -> bool:
        """Does it run, in our pid namespace, and in the watched unit if one is watched."""
        if watch.unit and not has_unit(watch, self._read(pid, "cgroup")):
            return False
        status = _status(self._read(pid, "status"))
        if status.get("State", "X").strip()[:1] in _GONE:
            return False
        # Its number in each namespace from that of /proc down to its own.
        return len(status.get("NSpid", "").split()) == self._depth

    def _read(self, pid: str, name: str) -> str:
        try:
            descriptor = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY)
        except OSError:
            return ""
        try:
            return os.read(descriptor, READ_BYTES_MAX).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(descriptor)


def _status(text: str) -> dict[str, str]:
    """Fields of proc_pid_status(5) by name."""
    return {name: value for name, _, value in (line.partition(":") for line in text.splitlines())}
