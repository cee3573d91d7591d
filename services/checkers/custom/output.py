"""What custom checkers print, in files that never grow beyond a limit."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

LOG_BYTES_MAX = 1 << 19
"""Of each of two files, the present and the one before: some days of a line each second."""
READ_BYTES = 1 << 16
"""A pipe holds 64 KiB (pipe(7)); one read empties it."""
PAUSE_S = 0.05
"""After a full read: a program that prints without end is read, and written to disk, at 1.3 MB/s at most."""


class Log:
    """A file and the one before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = 0
        self._file = -1

    def write(self, data: bytes) -> None:
        """Append; what a full or broken disk does not take is lost, the checker goes on."""
        try:
            if self._file < 0:
                self._open()
            if self._bytes + len(data) > LOG_BYTES_MAX:
                self._turn()
            os.write(self._file, data)
        except OSError:
            return
        self._bytes += len(data)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._bytes = os.fstat(self._file).st_size

    def _turn(self) -> None:
        self.close()
        self._path.replace(self._path.with_suffix(f"{self._path.suffix}.1"))
        self._open()


class Reader:
    """Moves what comes out of a pipe into a log, until `close`."""

    def __init__(self, descriptor: int, log: Log) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None
        self._is_open = True
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Take what is there now, then close the pipe."""
        if self._again is not None:
            self._again.cancel()
        if self._is_open:
            self._read()
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._log.close()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._is_open = False
            self._loop.remove_reader(self._descriptor)
            return
        self._log.write(data)
        if len(data) == READ_BYTES:
            self._loop.remove_reader(self._descriptor)
            self._again = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._descriptor, self._read)
