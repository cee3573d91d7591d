"""The node map on disk: which node id the kernel knows means which name, kept where a killed worker cannot lose it.

The file is mapped shared, so what was stored stays when the process dies at any instant (not when the node does:
then the mount is gone too). Layout, native byte order:

    header   magic, tail (end of the last record), next node id
    record   state, kind, name length, bytes, id, parent id, inode key, lookups, name

A record is one name of one node. It counts only once `tail` covers it; a killed writer leaves at most bytes past
the tail. `state` 0 is a dead record. Lookup counts are changed in place. Of several records for one node, the
first live one carries the count; a move writes the new record before it clears the old one, and of two live
records with the same parent and name the later counts.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from holdfast.errors import StorageError

MAGIC = 0x31504D4E54464448  # "HDFTNMP1"
HEADER = Struct("=QQQ")
RECORD = Struct("=BBHIQQQQQ")
TAIL = Struct("=Q")
COUNT_OFFSET = RECORD.size - 8
FIRST_RECORD = 32
INITIAL_BYTES = 1 << 20
BYTES_MAX = 1 << 31
"""About 20 million names; the kernel forgets nodes under memory pressure long before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredName:
    """One live record."""

    slot: int
    kind: int
    node_id: int
    parent_id: int
    inode: int
    device: int
    lookups: int
    name: bytes


class NodeMap:
    """The mapped file. Not thread-safe: the node table calls it under its own lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        is_fresh = size < FIRST_RECORD
        if is_fresh:
            size = INITIAL_BYTES
            os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)
        self._live_bytes = 0
        if is_fresh:
            HEADER.pack_into(self._map, 0, MAGIC, FIRST_RECORD, 2)
        magic, tail, _ = HEADER.unpack_from(self._map, 0)
        self._tail: int = tail
        if magic != MAGIC or not FIRST_RECORD <= self._tail <= size:
            raise StorageError(f"{path} is not a node map", hint="unmount the directory and start again")

    @property
    def next_id(self) -> int:
        """The lowest node id never given out."""
        return int(HEADER.unpack_from(self._map, 0)[2])

    def take_id(self) -> int:
        """Give out a node id; none is ever given twice in the life of a mount."""
        taken = self.next_id
        TAIL.pack_into(self._map, 16, taken + 1)
        return taken

    def add(self, kind: int, node_id: int, parent_id: int, inode: int, device: int, lookups: int, name: bytes) -> int:
        """Store a name and return its slot; it counts from the next `publish` on."""
        length = (RECORD.size + len(name) + 7) & ~7
        if self._tail + length > len(self._map):
            self._grow()
        slot = self._tail
        RECORD.pack_into(self._map, slot, 1, kind, len(name), length, node_id, parent_id, inode, device, lookups)
        self._map[slot + RECORD.size : slot + RECORD.size + len(name)] = name
        self._tail = slot + length
        self._live_bytes += length
        return slot

    def publish(self) -> None:
        """Have everything that was added count, at once."""
        TAIL.pack_into(self._map, 8, self._tail)

    def count(self, slot: int, lookups: int) -> None:
        """Store how often the kernel has looked the node up."""
        TAIL.pack_into(self._map, slot + COUNT_OFFSET, lookups)

    def remove(self, slot: int) -> None:
        """Clear a name."""
        self._map[slot] = 0
        self._live_bytes -= int(RECORD.unpack_from(self._map, slot)[3])

    @property
    def is_wasteful(self) -> bool:
        """True when the file is nearly full and dead records take more than half of it."""
        used = self._tail - FIRST_RECORD
        return self._live_bytes * 2 < used and self._tail * 4 > len(self._map) * 3

    def load(self) -> Iterator[StoredName]:
        """All live records, oldest first."""
        at = FIRST_RECORD
        self._live_bytes = 0
        while at < self._tail:
            state, kind, name_length, length, node_id, parent_id, inode, device, lookups = RECORD.unpack_from(
                self._map, at
            )
            if state:
                self._live_bytes += length
                name = bytes(self._map[at + RECORD.size : at + RECORD.size + name_length])
                yield StoredName(
                    slot=at,
                    kind=kind,
                    node_id=node_id,
                    parent_id=parent_id,
                    inode=inode,
                    device=device,
                    lookups=lookups,
                    name=name,
                )
            at += length

    def compact(self) -> dict[int, int]:
        """Write the live records into a new file that replaces this one; returns old slot to new slot."""
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        fresh = NodeMap(beside)
        moved: dict[int, int] = {}
        for stored in self.load():
            moved[stored.slot] = fresh.add(
                stored.kind,
                stored.node_id,
                stored.parent_id,
                stored.inode,
                stored.device,
                stored.lookups,
                stored.name,
            )
        fresh.publish()
        TAIL.pack_into(fresh._map, 16, self.next_id)
        os.replace(beside, self._path)
        self.close()
        self._file, self._map = fresh._file, fresh._map
        self._tail, self._live_bytes = fresh._tail, fresh._live_bytes
        return moved

    def _grow(self) -> None:
        size = len(self._map) * 2
        if size > BYTES_MAX:
            raise StorageError(f"{self._path} would grow past {BYTES_MAX} bytes")
        os.ftruncate(self._file, size)
        self._map.resize(size)

    def close(self) -> None:
        """Unmap; the file stays."""
        self._map.close()
        os.close(self._file)
