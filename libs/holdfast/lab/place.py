"""Somewhere commands can be run: a node, or the client."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from holdfast.lab.errors import LabError

COMMAND_TIMEOUT_S: Final = 60.0
"""For commands that are waited for, unless the caller says otherwise."""


class Place(ABC):
    """Runs commands in one of the namespaces of a lab."""

    @abstractmethod
    def entry(self) -> list[str]:
        """The words before a command that make it run here."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The environment of a command that runs here."""

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str = "",
        timeout_s: float = COMMAND_TIMEOUT_S,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises LabError when it fails (if `check`) or takes too long."""
        process = self.popen(command, stdin=subprocess.PIPE, env=env)
        try:
            out, err = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise LabError(f"{' '.join(command)} took longer than {timeout_s:g} s") from None
        finally:
            kill_group(process)
        if check and process.returncode != 0:
            raise LabError(f"{' '.join(command)} failed ({process.returncode}): {(err or out).strip()}")
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def popen(
        self,
        command: Sequence[str],
        *,
        stdin: int | IO[str] = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command, in a process group of its own; end it with `kill_group`."""
        return subprocess.Popen(
            [*self.entry(), *command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**self.environment(), **(env or {})},
            start_new_session=True,
            text=True,
        )

    def spawn(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command that runs beside, its output in a file."""
        with log.open("a") as output:
            return self.popen(command, stdout=output, stderr=output, env=env)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill what `popen` started, with its children, unless it has ended; and release what it held.

    The command itself is a child of the one that entered the namespaces, so that killing only that would
    leave it.
    """
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
