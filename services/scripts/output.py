"""The kept output of one script run: a pipe that is always read, a file that never grows beyond its limit."""

from __future__ import annotations

import os
from pathlib import Path

READ_BYTES = 1 << 16
"""A pipe holds 64 KiB (pipe(7)); one read empties it."""
LAST_READS_MAX = 64
"""Reads after the script's end: what it wrote itself is in the pipe by then; a talkative daemon cannot hold us."""
NOTE = b"\n--- the output was longer than %d bytes; the rest was not kept ---\n"
_REST = 'head -c "$1"; exec cat >/dev/null'


class Output:
    """Reads what the script and its children write; keeps at most `bytes_max` of it, throws the rest away."""

    def __init__(self, read_end: int, log: Path | None, bytes_max: int) -> None:
        self.read_end = read_end
        self._left = bytes_max
        self._bytes_max = bytes_max
        self._is_cut = False
        self._log = -1
        os.set_blocking(read_end, False)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def take(self) -> bool:
        """Read once; return False when every writer has closed its end."""
        try:
            data = os.read(self.read_end, READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        self._keep(data)
        return True

    def take_rest(self) -> bool:
        """Read what is there now; return False when every writer has closed its end."""
        for _ in range(LAST_READS_MAX):
            try:
                data = os.read(self.read_end, READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._keep(data)
        return True

    def write(self, text: str) -> None:
        """Add a line of our own, for what went wrong with starting the script."""
        self._put(f"{text}\n".encode())

    def hand_over(self) -> None:
        """Leave the reading to a small process: a daemon that the script left behind must not meet a closed pipe.

        The process ends when the last writer does. It is a shell, some hundred KiB, where we would be a Python.
        """
        if os.fork():
            return
        os.set_blocking(self.read_end, True)
        os.dup2(self.read_end, 0)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._log if self._log >= 0 else null, 1)
        os.dup2(null, 2)
        keep = self._left if self._log >= 0 else 0
        os.execve("/bin/sh", ["holdfast-output", "-c", _REST, "sh", str(keep)], {"PATH": "/usr/bin:/bin"})

    def _keep(self, data: bytes) -> None:
        if self._is_cut:
            return
        self._put(data[: self._left])
        self._is_cut = len(data) > self._left
        self._left -= min(len(data), self._left)
        if self._is_cut:
            self._put(NOTE % self._bytes_max)

    def _put(self, data: bytes) -> None:
        if self._log < 0:
            return
        try:
            os.write(self._log, data)
        except OSError:
            # A full disk must not stop the script: its output is lost, its work goes on.
            return
