"""Comparing both copies, byte for byte and attribute for attribute, while applications work.

First everything is compared as it is found; what differs then may only be under way, so each such place is looked at
again at one and the same point of the stream (a probe), a few times. What differs every time is a difference.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence

from holdfast.clock import Clock
from holdfast.errors import UnavailableError

from services.rfs import rows
from services.rfs.asking import Asking
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.markers import NO_ZONE, Probe
from services.rfs.core.rows import Row, differing
from services.rfs.engine import Engine
from services.rfs.ports import Tree
from services.rfs.verdict import Comparison

PROBE_ATTEMPTS = 5
PROBE_PAUSE_S = 0.05
ZONES_PER_REQUEST = 256
_tokens = itertools.count(int.from_bytes(os.urandom(6), "little"))


class Verifier:
    """One comparison, driven by the primary."""

    def __init__(self, engine: Engine, trees: Sequence[Tree], asking: Asking | None, clock: Clock) -> None:
        if asking is None or not engine.connected or not engine.streaming:
            raise UnavailableError(
                "there is no secondary in step to compare with", hint="wait until the secondary is ready"
            )
        self._engine = engine
        self._trees = trees
        self._asking = asking
        self._clock = clock
        self._result = Comparison()
        self._pause = threading.Event()

    def compare(self) -> Comparison:
        """Compare all directories; raise UnavailableError when the link ends before."""
        for tree in self._trees:
            self._compare_tree(tree)
        return self._result

    def _compare_tree(self, tree: Tree) -> None:
        firsts: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
        self._judge(tree, b"", NO_ZONE)
        for directory, theirs in self._asking.walk(tree.index, b""):
            ours = rows.rows_in(tree.root_fd, directory, tree.is_excluded) or []
            by_name = {row.name: row for row in theirs}
            for row in ours:
                path = rows.join(directory, row.name)
                self._compare_row(tree, path, row, by_name.pop(row.name, None), firsts)
            for name in by_name:
                self._judge(tree, rows.join(directory, name), NO_ZONE)

    def _compare_row(
        self,
        tree: Tree,
        path: bytes,
        ours: Row,
        theirs: Row | None,
        firsts: tuple[dict[int, bytes], dict[int, bytes]],
    ) -> None:
        self._result.files += 1
        if (theirs is None or differing(ours, theirs)) and not self._judge(tree, path, NO_ZONE):
            return
        if not ours.is_regular or theirs is None or not theirs.is_regular:
            return
        both = ours.links > 1 and theirs.links > 1
        if both and firsts[0].setdefault(ours.inode, path) != firsts[1].setdefault(theirs.inode, path):
            self._result.add(tree.index, path, "links: other names of the same file")
        self._compare_contents(tree, path, ours)

    def _compare_contents(self, tree: Tree, path: bytes, ours: Row) -> None:
        fd = rows.open_file(tree.root_fd, path)
        if fd is None:
            self._judge(tree, path, NO_ZONE)
            return
        try:
            count = -(-ours.size // ZONE_BYTES)
            for start in range(0, count, ZONES_PER_REQUEST):
                zones = list(range(start, min(start + ZONES_PER_REQUEST, count)))
                theirs = self._asking.hashes(tree.index, path, zones)
                suspects = [
                    zone for zone, digest in zip(zones, theirs, strict=True) if rows.hash_zone(fd, zone) != digest
                ]
                if not all(self._judge(tree, path, zone) for zone in suspects):
                    break
            self._result.bytes_compared += ours.size
        finally:
            os.close(fd)

    def _judge(self, tree: Tree, path: bytes, zone: int) -> bool:
        """Look at one place at one point of the stream on both sides; True when it is equal there."""
        what = ""
        for _ in range(PROBE_ATTEMPTS):
            tree.settle(path)
            what = self._probe(tree, path, zone)
            if not what:
                return True
            self._pause.wait(PROBE_PAUSE_S)
        self._result.add(tree.index, path, what)
        return False

    def _probe(self, tree: Tree, path: bytes, zone: int) -> str:
        token = next(_tokens)
        with self._engine.order:
            ours = rows.row_at(tree.root_fd, path)
            digest = b""
            if zone != NO_ZONE:
                fd = rows.open_file(tree.root_fd, path)
                if fd is not None:
                    digest = rows.hash_zone(fd, zone)
                    os.close(fd)
            self._engine.append(Probe(tree=tree.index, path=path, zone=zone, token=token))
        self._engine.push()
        seen = self._asking.probed(token)
        if seen is None:
            return "could not be looked at again"
        theirs, their_digest = seen
        if ours is None and theirs is None:
            return ""
        if theirs is None:
            return "missing on the secondary"
        if ours is None:
            return "only on the secondary"
        return differing(ours, theirs) or (
            f"contents at byte {zone * ZONE_BYTES} and up to {ZONE_BYTES} further" if digest != their_digest else ""
        )
