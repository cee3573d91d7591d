"""Process groups that were running, on file, so that those of a killed service are ended by the next one.

The kernel ends the programs themselves with the service; what they had started would stay.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from pathlib import Path

FILE_NAME = "checker-custom.json"
GROUPS_MAX = 4096
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")

log = logging.getLogger("holdfast.checkers")


class Leftovers:
    """The groups of this service."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME
        self._groups: dict[int, None] = {}

    def add(self, group: int) -> None:
        self._groups[group] = None
        self._write()

    def remove(self, group: int) -> None:
        if group in self._groups:
            del self._groups[group]
            self._write()

    def end_all(self) -> None:
        """End what an earlier service left: the recorded groups that have members in a session of their own.

        The number of a group is not given to another process while the group has members. Who is a member is asked
        for by system calls: entries of /proc can make their reader wait.
        """
        for group in self._read() & _own_sessions():
            log.warning("ending what is left of the custom checker with process group %d", group)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._write()

    def _read(self) -> set[int]:
        try:
            body = json.loads(self._path.read_bytes())
            if body["numbered_by"] != _numbered_by():
                return set()
            return {int(group) for group in body["groups"][:GROUPS_MAX]}
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def _write(self) -> None:
        fresh = self._path.with_name(f".{FILE_NAME}.new")
        try:
            fresh.write_text(json.dumps({"numbered_by": _numbered_by(), "groups": list(self._groups)}))
            fresh.replace(self._path)
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error)


def _numbered_by() -> list[str]:
    """What process numbers mean something for: this start of the machine, and our pid namespace."""
    return [_BOOT_ID.read_text().strip(), os.readlink(_PID_NAMESPACE)]


def _own_sessions() -> set[int]:
    """Process groups with a member whose session has the group's number, as that of each custom checker has."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                group = os.getpgid(int(name))
                if os.getsid(int(name)) == group:
                    found.add(group)
    return found
