"""The running client, seen from the demonstration: started, watched, ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, Self

from holdfast.demo import database
from holdfast.demo.record import Attempt, acks_of, decode
from holdfast.errors import UnavailableError
from holdfast.lab.node import Client
from holdfast.lab.place import kill_group

STOP_TIMEOUT_S: Final = 10.0
"""The writer ends between two rows; a row takes a fraction of a second, connecting two."""
_POLL_S: Final = 0.01


class Customer:
    """A process in the client's network that writes rows and records what becomes of them."""

    def __init__(self, process: subprocess.Popen[str], record: Path, log: Path) -> None:
        self._process = process
        self._record = record
        self._log = log
        self._known: list[Attempt] = []
        self._read_bytes = 0

    @classmethod
    def start(cls, client: Client, address: IPv4Address, directory: Path) -> Self:
        """Start writing to a database with the table; record and log are kept in `directory`."""
        record, log = directory / "client.record", directory / "client.log"
        command = [sys.executable, "-m", "holdfast.demo.writer", database.conninfo(address), str(record)]
        return cls(client.spawn(command, log=log), record, log)

    def attempts(self) -> tuple[Attempt, ...]:
        """What it recorded so far; only what is new is read."""
        if self._record.exists():
            with self._record.open("rb") as file:
                file.seek(self._read_bytes)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._known += decode(whole.decode().splitlines(keepends=True))
            self._read_bytes += len(whole)
        return tuple(self._known)

    def wait_for_acks(self, count: int, *, after_ns: int = 0, timeout_s: float = 60.0) -> None:
        """Wait until that many rows have been acknowledged after an instant; raises UnavailableError."""
        deadline = time.monotonic() + timeout_s
        while sum(ack > after_ns for ack in acks_of(self.attempts())) < count:
            if self._process.poll() is not None:
                raise UnavailableError(f"the client ended: {self._log.read_text().strip()}")
            if time.monotonic() > deadline:
                raise UnavailableError(f"the client got no answer for {timeout_s:g} s")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Let it end in good order, between two rows; raises UnavailableError when it does not."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise UnavailableError("the client does not end") from None
        finally:
            kill_group(self._process)
        if status != 0:
            raise UnavailableError(f"the client failed: {self._log.read_text().strip()}")

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        kill_group(self._process)
