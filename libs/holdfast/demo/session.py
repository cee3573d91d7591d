"""A connection to PostgreSQL that never waits longer than it is told.

libpq's own limits are whole seconds, and a driver that gives up politely asks the server first, which a dead
one does not answer. So this steps through libpq's non-blocking calls itself, and closes when time is up
(PostgreSQL documentation, 34.1 PQconnectPoll and 34.4 asynchronous command processing).
"""

from __future__ import annotations

import select
import time
from typing import Final, Self

import psycopg
from psycopg import pq

TCP_TIMEOUT_S: Final = 0.1
"""For the TCP connection alone, which takes a fraction of a millisecond on a lan. Each new attempt asks anew
who has the address, so that short attempts find a moved address sooner."""
STARTUP_TIMEOUT_S: Final = 2.0
"""From the TCP connection to readiness for a query: the server may be busy."""
_OPTIONS: Final = "sslmode=disable gssencmode=disable"
"""Neither is needed between namespaces of one machine, and each costs a round trip."""


class LostError(Exception):
    """The connection cannot be made, or not be used any more."""


class RefusedByServerError(Exception):
    """The server answered, and the answer is no."""


class Session:
    """One connection. After LostError only `close` may be called."""

    def __init__(self, connection: pq.abc.PGconn) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, conninfo: str) -> Self:
        """Connect within the two limits; raises LostError."""
        session = cls(pq.PGconn.connect_start(f"{conninfo} {_OPTIONS}".encode()))
        try:
            session._finish_connecting()
        except (LostError, psycopg.Error) as error:
            session.close()
            raise LostError(str(error)) from error
        return session

    def execute(self, statement: str, *, timeout_s: float) -> str:
        """Run one statement and return the first value of its last row, or nothing.

        Raises RefusedByServerError when the server says no, LostError when nothing can be known.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self._connection.send_query(statement.encode())
            while self._connection.flush():
                self._wait(select.POLLIN | select.POLLOUT, deadline)
                self._connection.consume_input()
            while self._connection.is_busy():
                self._wait(select.POLLIN, deadline)
                self._connection.consume_input()
            return self._value()
        except psycopg.Error as error:
            raise LostError(str(error)) from error

    def close(self) -> None:
        """Close at once."""
        self._connection.finish()

    def _finish_connecting(self) -> None:
        """While the status is STARTED there is no TCP connection yet."""
        began = time.monotonic()
        # As the documentation says: behave as if the first poll had answered "writing".
        wanted = pq.PollingStatus.WRITING
        while wanted != pq.PollingStatus.OK:
            if wanted == pq.PollingStatus.FAILED:
                raise LostError(self._connection.error_message.decode(errors="replace").strip())
            is_tcp = self._connection.status == pq.ConnStatus.STARTED
            events = select.POLLIN if wanted == pq.PollingStatus.READING else select.POLLOUT
            self._wait(events, began + (TCP_TIMEOUT_S if is_tcp else STARTUP_TIMEOUT_S))
            wanted = pq.PollingStatus(self._connection.connect_poll())
        self._connection.nonblocking = 1

    def _wait(self, events: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._connection.socket, events)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise LostError("no answer in time")

    def _value(self) -> str:
        """Take all results, as the protocol wants before the next statement."""
        value = b""
        refusal = ""
        while result := self._connection.get_result():
            if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples:
                value = bytes(result.get_value(result.ntuples - 1, 0) or b"")
            elif result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                refusal = result.error_message.decode(errors="replace").strip()
        if self._connection.status != pq.ConnStatus.OK:
            raise LostError(refusal or "the connection broke")
        if refusal:
            raise RefusedByServerError(refusal)
        return value.decode()
