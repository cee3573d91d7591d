"""What is known of one script run, on disk, so that it outlives both the service and the runner.

For every run there are two files below `<run dir>/scripts/<module>/`: `<run>.json`, the record, and `<run>.lock`,
on which the runner holds a lock (flock) for as long as it lives. Together they tell everything: no record, never
started; record says running and the lock is held, still running; record says running and the lock is free, the
runner was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.events.module import ScriptFinished
from holdfast.ids import ModuleId, checked_name

RECORDS_KEPT = 64
"""Finished runs remembered per module; an order names the newest one, the others are for people."""
RECORD_BYTES_MAX = 1 << 16
EXIT_KILLED = 137
"""What a shell reports for a process ended by SIGKILL (128 + 9); stands for a run whose runner was killed."""
_RUN = re.compile(r"[A-Za-z0-9_:+-][A-Za-z0-9_.:+-]{0,127}\Z")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run. runner: pid of its runner process. log: path of the kept output, empty when none is kept."""

    run: str
    script: str
    runner: int
    started_at_wall_ns: int
    log: str
    finished: bool = False
    exit_code: int = 0
    duration_ms: float = 0.0
    timed_out: bool = False

    def killed(self) -> Record:
        """The record of a run whose runner is gone without having said how the script ended."""
        return replace(self, finished=True, exit_code=EXIT_KILLED)

    def fact(self) -> ScriptFinished:
        return ScriptFinished(
            run=self.run,
            script=self.script,
            exit_code=self.exit_code,
            duration_ms=self.duration_ms,
            timed_out=self.timed_out,
            log=self.log,
        )


def checked_run(run: str) -> str:
    """Return `run` if it may be a file name; raise OperatorError otherwise."""
    if not _RUN.match(run):
        raise OperatorError(f"run id {run[:40]!r} is not valid", hint="1 to 128 letters, digits or any of _ . : + -")
    return run


class Records:
    """The records of all modules below one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, module: ModuleId, run: str) -> Path:
        return self._directory / checked_name("module", module) / f"{checked_run(run)}.json"

    def read(self, module: ModuleId, run: str) -> Record | None:
        """Return the record, or None when there is none or it cannot be read."""
        return _read(self.path(module, run))

    def write(self, module: ModuleId, record: Record) -> None:
        """Put the record on disk, whole or not at all."""
        write_record(self.path(module, record.run), record)

    def lock(self, module: ModuleId, run: str) -> int | None:
        """Take the run's lock and return its descriptor; None when a runner holds it."""
        path = self.path(module, run).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def of_module(self, module: ModuleId) -> list[Record]:
        """All records of a module, oldest first."""
        found = (_read(path) for path in self._directory.joinpath(module).glob("*.json"))
        return sorted((record for record in found if record is not None), key=lambda r: (r.started_at_wall_ns, r.run))

    def modules(self) -> Iterator[ModuleId]:
        """Modules that have records."""
        if self._directory.is_dir():
            for path in sorted(self._directory.iterdir()):
                if path.is_dir():
                    yield ModuleId(path.name)

    def prune(self, module: ModuleId) -> None:
        """Forget the oldest finished runs beyond RECORDS_KEPT."""
        finished = [record for record in self.of_module(module) if record.finished]
        for record in finished[:-RECORDS_KEPT]:
            path = self.path(module, record.run)
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)


def write_record(path: Path, record: Record) -> None:
    """Write beside, then rename over: a reader sees the old record or the new one.

    Nothing waits for the disk: a record outlives processes, and the crash of the machine ends its run as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "w")) as file:
        file.write(json.dumps(asdict(record)))
    beside.replace(path)


def _read(path: Path) -> Record | None:
    try:
        with path.open("rb") as file:
            return Record(**json.loads(file.read(RECORD_BYTES_MAX)))
    except (OSError, ValueError, TypeError):
        return None
