"""One run of a custom checker's program: in a session of its own, ended with its whole process group."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL: enough to remove a temporary file."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
SHELL = "/bin/sh"
EXIT_ORPHAN = 127

_libc = ctypes.CDLL(None, use_errno=True)


def _end_with_service(service: int) -> None:
    """In the child: the kernel kills it when the thread that started it ends, which is the service's main thread."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != service:
        os._exit(EXIT_ORPHAN)


class Program:
    """A running program. output: the end of a pipe from which everything it prints is read; the reader closes it."""

    def __init__(self, program: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        """Raises OSError when it cannot be started."""
        self.output, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self._process = _start([str(program), *arguments], environment, write_end)
        except OSError:
            os.close(self.output)
            raise
        finally:
            os.close(write_end)
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(self._process.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._note_end)

    @property
    def pid(self) -> int:
        """Also the number of its process group and session."""
        return self._process.pid

    async def wait(self) -> int:
        """Return the exit code when the program itself has ended; 128 + n when signal n ended it."""
        await self._ended.wait()
        code = self._reap()
        return code if code >= 0 else 128 - code

    async def end(self) -> None:
        """End the whole group: asked first, then made to. A second cancellation makes it at once."""
        try:
            if not self._ended.is_set():
                self._signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_S):
                        await self._ended.wait()
        finally:
            self._reap()
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _reap(self) -> int:
        """Kill what is left of the group while the unreaped program still keeps its number, then take its end."""
        if self._process.returncode is None:
            self._signal(signal.SIGKILL)
        return self._process.wait()

    def _note_end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._ended.set()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _start(words: list[str], environment: dict[str, str], write_end: int) -> subprocess.Popen[bytes]:
    def start(command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=Path(words[0]).parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
            umask=0o022,
            preexec_fn=partial(_end_with_service, os.getpid()),
        )

    try:
        return start(words)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # No `#!` line: a shell script, as every shell takes it (POSIX, command search and execution).
        return start([SHELL, *words])
