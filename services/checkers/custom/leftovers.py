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
_GROUP_FIELD, _SESSION_FIELD, _STARTED_AT_FIELD = 2, 3, 19
"""Counted from the field after the command name (proc_pid_stat(5): pgrp 5, session 6, starttime 22, from 1)."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger("holdfast.checkers")


class Leftovers:
    """The groups of this service."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / FILE_NAME
        self._groups: dict[int, int] = {}

    def add(self, group: int) -> None:
        self._groups[group] = _started_at(group)
        self._write()

    def remove(self, group: int) -> None:
        if self._groups.pop(group, None) is not None:
            self._write()

    def end_all(self) -> None:
        """End what an earlier service left: members of a recorded group that are no older than its leader was.

        The number of a group is not given to another process while the group has members (pid_namespaces aside), so
        a member that is younger belongs to it.
        """
        recorded = self._read()
        if recorded:
            members = {group: began for _, group, began in _processes() if began >= recorded.get(group, began + 1)}
            for group in members:
                log.warning("ending what is left of the custom checker with process group %d", group)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        self._write()

    def _read(self) -> dict[int, int]:
        try:
            body = json.loads(self._path.read_bytes())
            if body["boot"] != _boot_id():
                return {}
            return {int(group): int(began) for group, began in body["groups"][:GROUPS_MAX]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _write(self) -> None:
        fresh = self._path.with_name(f".{FILE_NAME}.new")
        try:
            fresh.write_text(json.dumps({"boot": _boot_id(), "groups": list(self._groups.items())}))
            fresh.replace(self._path)
        except OSError as error:
            log.error("%s cannot be written: %s", self._path, error)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _started_at(pid: int) -> int:
    """In clock ticks since boot; 0 when the process is gone."""
    fields = _stat(str(pid))
    return int(fields[_STARTED_AT_FIELD]) if len(fields) > _STARTED_AT_FIELD else 0


def _processes() -> list[tuple[int, int, int]]:
    """Process, group and start of every process that is in a session with its group's number."""
    found = []
    for name in os.listdir("/proc"):
        fields = _stat(name) if name.isdigit() else []
        if len(fields) > _STARTED_AT_FIELD and fields[_GROUP_FIELD] == fields[_SESSION_FIELD]:
            found.append((int(name), int(fields[_GROUP_FIELD]), int(fields[_STARTED_AT_FIELD])))
    return found


def _stat(pid: str) -> list[str]:
    try:
        text = Path("/proc", pid, "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
