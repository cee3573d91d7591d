"""What this copy is, in one small file: last session in step, directories, last orderly stop."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("holdfast.rfs.changes")


@dataclass(frozen=True, slots=True)
class Stoppage:
    """An orderly stop: wall clock (ns) when the directories were unmounted, device and inode of each."""

    at_ns: int
    roots: tuple[tuple[int, int], ...]


class CopyState:
    """Each change is durable when the call returns; raises OSError when it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def last_session(self) -> str:
        """The session in which this copy last was in step, or empty: the state that all entries are relative to."""
        return str(self._read().get("last_session", ""))

    @last_session.setter
    def last_session(self, session: str) -> None:
        self._write({**self._read(), "last_session": session})

    @property
    def directories(self) -> list[str] | None:
        """Which directories the numbers of the entries mean; None when nothing was noted yet."""
        found = self._read().get("directories")
        return [str(path) for path in found] if isinstance(found, list) else None

    def begin(self, directories: list[str]) -> None:
        """Nothing is in common with any other copy; the entries' numbers mean these directories."""
        self._write({"directories": directories})

    @property
    def stopped(self) -> Stoppage | None:
        """The orderly stop since which changes were not noted; None after a crash, for then all were."""
        state = self._read()
        at_ns, roots = state.get("stopped_at_ns"), state.get("stopped_roots")
        if not isinstance(at_ns, int) or not isinstance(roots, list):
            return None
        pairs = tuple((int(root[0]), int(root[1])) for root in roots if isinstance(root, list) and len(root) == 2)
        return Stoppage(at_ns, pairs)

    def note_stop(self, stoppage: Stoppage) -> None:
        """From here on changes are not noted; an earlier stop that nobody has looked into stays the one to start at."""
        if self.stopped is None:
            roots = [list(root) for root in stoppage.roots]
            self._write({**self._read(), "stopped_at_ns": stoppage.at_ns, "stopped_roots": roots})

    def forget_stop(self) -> None:
        """Everything that changed since the stop is noted."""
        self._write(
            {key: value for key, value in self._read().items() if key not in ("stopped_at_ns", "stopped_roots")}
        )

    def forget(self) -> None:
        """Nothing is in common with any other copy any more; needs no room on the disk."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, object]:
        try:
            value = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            # An unreadable record of the last session means: nothing in common, compare everything.
            log.warning("%s: %s; both copies will be compared", self._path, error)
            return {}
        return value if isinstance(value, dict) else {}

    def _write(self, value: dict[str, object]) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(json.dumps(value).encode())
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
