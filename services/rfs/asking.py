"""The primary's connections for requests to the secondary, shared by the threads that resynchronise and verify."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator

from holdfast.errors import UnavailableError

from services.rfs import link
from services.rfs.core import census, noting, requests
from services.rfs.core.census import Census
from services.rfs.core.paths import Entry
from services.rfs.core.requests import Ask, Request
from services.rfs.core.rows import DIGEST_BYTES, Row, decode_rows

CONNECTIONS_MAX = 32


class Asking:
    """A pool of connections; each request has one for itself until its answer is complete."""

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` limits the wait for a connection and for each message of an answer."""
        self._timeout_s = timeout_s
        self._free: queue.LifoQueue[socket.socket] = queue.LifoQueue(maxsize=CONNECTIONS_MAX)
        self._all: list[socket.socket] = []
        self._closed = False

    def add(self, connection: socket.socket) -> None:
        """Take in a connection that the secondary has opened."""
        if self._closed or len(self._all) >= CONNECTIONS_MAX:
            connection.close()
            return
        connection.settimeout(self._timeout_s)
        self._all.append(connection)
        self._free.put(connection)

    def close(self) -> None:
        """End all connections; whoever waits for an answer gets UnavailableError."""
        self._closed = True
        for connection in self._all:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The secondary closed it first.
            connection.close()

    def journal(self) -> list[Entry]:
        """Everything that the secondary's change journal notes."""
        return [entry for message in self._messages(Request(kind=Ask.JOURNAL)) for entry in noting.decode(message)]

    def journal_taken(self) -> None:
        """Tell the secondary that its entries are on our disk."""
        self._one(Request(kind=Ask.JOURNAL_TAKEN))

    def walk(self, tree: int, top: bytes) -> Iterator[tuple[bytes, list[Row]]]:
        """The secondary's directories at and below `top` with their rows."""
        for message in self._messages(Request(kind=Ask.WALK, tree=tree, paths=(top,))):
            yield decode_rows(message)

    def census(self, tree: int, top: bytes) -> Iterator[Census]:
        """The secondary's directories at and below `top`, each with its digest or its rows."""
        for message in self._messages(Request(kind=Ask.CENSUS, tree=tree, paths=(top,))):
            yield from census.decode(message)

    def listing(self, tree: int, directory: bytes) -> list[Row]:
        """The rows of one of the secondary's directories; empty when it has no such directory."""
        return decode_rows(self._one(Request(kind=Ask.LISTING, tree=tree, paths=(directory,))))[1]

    def rows(self, tree: int, paths: list[bytes]) -> list[Row | None]:
        """The secondary's rows of single paths, None for each that is not there."""
        _, found = decode_rows(self._one(Request(kind=Ask.ROWS, tree=tree, paths=tuple(paths))))
        by_place = {row.name: row for row in found}
        return [by_place.get(b"%d" % place) for place in range(len(paths))]

    def hashes(self, tree: int, path: bytes, zones: list[int]) -> list[bytes]:
        """The secondary's digests of a file's zones, empty beyond its end."""
        message = self._one(Request(kind=Ask.HASHES, tree=tree, paths=(path,), zones=tuple(zones)))
        return requests.decode_digests(message, len(zones))

    def probed(self, token: int) -> tuple[Row | None, bytes] | None:
        """What the secondary saw at a probe, None when it has no memory of it (its worker was restarted)."""
        message = self._one(Request(kind=Ask.PROBED, token=token))
        (digest,) = requests.decode_digests(message[:DIGEST_BYTES], 1)
        lost, found = decode_rows(message[DIGEST_BYTES:])
        return None if lost else (found[0] if found else None, digest)

    def _one(self, request: Request) -> bytes:
        connection = self._take()
        try:
            link.send_message(connection, requests.encode(request))
            message = link.receive_message(connection)
        except OSError as error:
            raise UnavailableError(f"the secondary does not answer: {error}") from error
        self._free.put(connection)
        return message

    def _messages(self, request: Request) -> Iterator[bytes]:
        connection = self._take()
        try:
            link.send_message(connection, requests.encode(request))
            while message := link.receive_message(connection):
                yield message
        except OSError as error:
            raise UnavailableError(f"the secondary does not answer: {error}") from error
        self._free.put(connection)

    def _take(self) -> socket.socket:
        if self._closed:
            raise UnavailableError("the link to the secondary is closed")
        try:
            return self._free.get(timeout=self._timeout_s)
        except queue.Empty:
            raise UnavailableError("the secondary has no connection free for a request") from None
