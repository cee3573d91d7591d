"""The secondary's answers to what the primary asks beside the stream."""

from __future__ import annotations

import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from services.rfs import census, link, rows
from services.rfs.changes import ChangeJournal
from services.rfs.core import census as census_codec
from services.rfs.core import noting, requests
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.markers import NO_ZONE, Probe
from services.rfs.core.requests import Ask, Request
from services.rfs.core.rows import DIGEST_BYTES, Row, encode_rows
from services.rfs.ports import Tree

ENTRIES_PER_MESSAGE = 10_000
NAMES_PER_MESSAGE = 500
"""Looked at between two messages of a census: a slow disk must not keep the primary waiting until its patience ends."""
PROBES_KEPT = 4096
"""What probes saw is kept until it is asked for; the oldest goes when the primary forgets to ask."""
PROBE_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a probe saw."""

    row: Row | None
    digest: bytes


class Probes:
    """What was seen at probes, handed from the applying thread to the serving ones."""

    def __init__(self, trees: Sequence[Tree]) -> None:
        self._trees = trees
        self._seen: OrderedDict[int, Sight] = OrderedDict()
        self._arrived = threading.Condition()

    def look(self, probe: Probe) -> None:
        """Called by the applying thread when it comes to the probe in the stream."""
        root_fd = self._trees[probe.tree].root_fd
        digest = b""
        if probe.zone != NO_ZONE:
            fd = rows.open_file(root_fd, probe.path)
            if fd is not None:
                digest = rows.hash_zone(fd, probe.zone)
                os.close(fd)
        sight = Sight(rows.row_at(root_fd, probe.path), digest)
        with self._arrived:
            self._seen[probe.token] = sight
            if len(self._seen) > PROBES_KEPT:
                self._seen.popitem(last=False)
            self._arrived.notify_all()

    def take(self, token: int) -> Sight | None:
        """What was seen at `token`, waiting for it to be applied; None when it does not come."""
        with self._arrived:
            self._arrived.wait_for(lambda: token in self._seen, PROBE_WAIT_S)
            return self._seen.pop(token, None)


class Server:
    """Answers requests on one connection until it ends."""

    def __init__(self, trees: Sequence[Tree], journal: ChangeJournal, probes: Probes) -> None:
        self._trees = trees
        self._journal = journal
        self._probes = probes

    def serve(self, connection: socket.socket) -> None:
        """Answer until the primary closes; raises PeerError for rubbish, OSError when the connection breaks."""
        while True:
            request = requests.decode(link.receive_message(connection))
            self._answer(connection, request)

    def _answer(self, connection: socket.socket, request: Request) -> None:
        match request.kind:
            case Ask.JOURNAL:
                self._send_journal(connection)
            case Ask.JOURNAL_TAKEN:
                self._journal.clear()
                link.send_message(connection, b"")
            case Ask.WALK:
                tree = self._trees[request.tree]
                for directory, found in rows.walk(tree.root_fd, request.paths[0], tree.is_excluded):
                    link.send_message(connection, encode_rows(directory, found))
                link.send_message(connection, b"")
            case Ask.CENSUS:
                self._send_census(connection, request)
            case Ask.LISTING:
                tree, directory = self._trees[request.tree], request.paths[0]
                listed = rows.rows_in(tree.root_fd, directory, tree.is_excluded)
                link.send_message(connection, encode_rows(directory, listed or []))
            case Ask.ROWS:
                link.send_message(connection, encode_rows(b"", self._rows(request)))
            case Ask.HASHES:
                link.send_message(connection, requests.encode_digests(self._hashes(request)))
            case Ask.PROBED:
                sight = self._probes.take(request.token)
                row = [sight.row] if sight is not None and sight.row is not None else []
                digest = sight.digest if sight is not None and sight.digest else bytes(DIGEST_BYTES)
                link.send_message(connection, digest + encode_rows(b"" if sight else b"lost", row))
            case _:
                assert_never(request.kind)

    def _send_census(self, connection: socket.socket, request: Request) -> None:
        tree = self._trees[request.tree]
        batch: list[bytes] = []
        names = 0
        with census.own_directory():
            for found in census.walk(tree.root_fd, request.paths[0], tree.is_excluded):
                batch.append(census_codec.encode(found))
                names += max(1, found.names)
                if names >= NAMES_PER_MESSAGE or found.rows is not None:
                    link.send_message(connection, b"".join(batch))
                    batch.clear()
                    names = 0
        if batch:
            link.send_message(connection, b"".join(batch))
        link.send_message(connection, b"")

    def _send_journal(self, connection: socket.socket) -> None:
        batch: list[bytes] = []
        for entry in self._journal.entries().entries():
            batch.append(noting.encode(entry))
            if len(batch) >= ENTRIES_PER_MESSAGE:
                link.send_message(connection, b"".join(batch))
                batch.clear()
        if batch:
            link.send_message(connection, b"".join(batch))
        link.send_message(connection, b"")

    def _rows(self, request: Request) -> list[Row]:
        """Rows whose name is the number of the path in the request."""
        root_fd = self._trees[request.tree].root_fd
        found: list[Row] = []
        for place, path in enumerate(request.paths):
            row = rows.row_at(root_fd, path)
            if row is not None:
                found.append(replace(row, name=b"%d" % place))
        return found

    def _hashes(self, request: Request) -> list[bytes]:
        fd = rows.open_file(self._trees[request.tree].root_fd, request.paths[0])
        if fd is None:
            return [b""] * len(request.zones)
        try:
            size = os.fstat(fd).st_size
            return [rows.hash_zone(fd, zone) if zone * ZONE_BYTES < size else b"" for zone in request.zones]
        finally:
            os.close(fd)
