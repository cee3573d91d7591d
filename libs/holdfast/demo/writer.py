"""The client: `python -m holdfast.demo.writer CONNINFO RECORD`.

It writes numbered rows, one at a time, through whatever the connection string names, and notes for each whether the
server acknowledged it. It connects again whenever the connection breaks. It ends on SIGTERM, between two rows.
"""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from holdfast.demo.record import Attempt, Outcome
from holdfast.demo.session import LostError, RefusedByServerError, Session

ANSWER_TIMEOUT_S: Final = 0.25
"""For one row, which takes a few milliseconds; then the client takes the server for dead and connects again."""
PAUSE_S: Final = 0.005
"""Between two rows, and between two attempts to connect: how finely an outage is seen."""
SCHEMA: Final = "create table if not exists demo (row bigint primary key, written timestamptz default now())"


class Writer:
    """Writes rows until told to stop."""

    def __init__(self, connect: Callable[[], Session], record: TextIO) -> None:
        self._connect = connect
        self._record = record
        self._session: Session | None = None
        self._stopping = False

    def stop(self) -> None:
        """End after the row that is being written."""
        self._stopping = True

    def run(self) -> None:
        """Write rows until `stop` is called. A number is used once, whatever became of its row."""
        rows = itertools.count(1)
        row = next(rows)
        while not self._stopping:
            session = self._session or self._open()
            if session is not None:
                self._write(session, row)
                row = next(rows)
            time.sleep(PAUSE_S)
        self._close()

    def _open(self) -> Session | None:
        try:
            self._session = self._connect()
        except LostError:
            return None
        return self._session

    def _write(self, session: Session, row: int) -> None:
        sent_ns = time.monotonic_ns()
        try:
            session.execute(f"insert into demo (row) values ({row})", timeout_s=ANSWER_TIMEOUT_S)
            outcome = Outcome.ACKED
        except LostError:
            outcome = Outcome.UNANSWERED
            self._close()
        except RefusedByServerError:
            outcome = Outcome.REFUSED
        attempt = Attempt(row=row, sent_ns=sent_ns, ended_ns=time.monotonic_ns(), outcome=outcome)
        self._record.write(f"{attempt.encode()}\n")
        self._record.flush()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def main() -> None:
    """Write until SIGTERM."""
    conninfo, path = sys.argv[1:]
    with Path(path).open("a") as record:
        writer = Writer(lambda: Session.connect(conninfo), record)
        signal.signal(signal.SIGTERM, lambda number, frame: writer.stop())
        writer.run()


if __name__ == "__main__":
    main()
