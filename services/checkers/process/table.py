"""Reads the process table of this node from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.events.module import ProcessWatch

from services.checkers.process.matching import Seen, has_arguments, has_command, has_unit

READ_BYTES_MAX = 1 << 16
"""Of one argument list; regular expressions look at no more."""
_STARTED_AT_FIELD = 19
"""starttime, counted from the field after the command name (field 22 of proc_pid_stat(5), which counts from 1)."""


class ProcessTable:
    """Finds the processes that a watch means: those of our own pid namespace, zombies left out."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = str(proc)
        self._namespace = os.readlink(f"{self._proc}/self/ns/pid")
        self._own = os.getpid()

    def find(self, watch: ProcessWatch) -> list[Seen]:
        """Return the processes, oldest first."""
        found: list[Seen] = []
        for name in os.listdir(self._proc):
            if name.isdigit() and int(name) != self._own:
                seen = self._seen(name)
                if seen is not None and has_command(watch, seen.command) and self._is_meant(watch, name):
                    found.append(seen)
        return sorted(found, key=lambda seen: (seen.started_at_ticks, seen.pid))

    def _seen(self, pid: str) -> Seen | None:
        text = self._read(pid, "stat")
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        if len(fields) <= _STARTED_AT_FIELD or fields[0] in ("Z", "X"):
            return None
        command = head.partition("(")[2]
        return Seen(pid=int(pid), command=command, started_at_ticks=int(fields[_STARTED_AT_FIELD]))

    def _is_meant(self, watch: ProcessWatch, pid: str) -> bool:
        if watch.argument_regex and not has_arguments(
            watch, self._read(pid, "cmdline").rstrip("\0").replace("\0", " ")
        ):
            return False
        if watch.unit and not has_unit(watch, self._read(pid, "cgroup")):
            return False
        try:
            return os.readlink(f"{self._proc}/{pid}/ns/pid") == self._namespace
        except OSError:
            return False

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
