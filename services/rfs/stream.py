"""The window: the primary's operations that the secondary has not applied yet, in a ring that outlives the process.

The ring is a file in the runtime directory (tmpfs) mapped shared, so a SIGKILL of the worker loses nothing: what was
appended is there, and the head moves only after the record is whole. Its bytes are exactly what goes over the wire.
A reboot of the machine removes it, and with it the session.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from holdfast.errors import StorageError

from services.rfs.core import checksum, codec, record
from services.rfs.core.codec import Payload
from services.rfs.core.limits import WINDOW_BYTES
from services.rfs.core.markers import Item

_MAGIC = 0x484F4C4446415354
_HEADER_BYTES = 4096
_SESSION_AT = 1024
_SESSION_BYTES_MAX = 128
_REUSE_AFTER_BYTES = 1 << 20
"""An empty ring starts again at its first byte after this much, so a quiet module touches few pages."""

_SLOT_MAGIC, _SLOT_SIZE, _SLOT_EPOCH, _SLOT_START, _SLOT_ORIGIN, _SLOT_HEAD, _SLOT_APPLIED, _SLOT_IN_STEP = range(8)
_SLOT_FAST = 8


class Window:
    """A ring of records. One appender (under `order`), one sender, one acknowledger at a time; no lock of its own.

    All positions are bytes since the first record ever; `start` is where the present session began.
    """

    def __init__(self, path: Path, *, capacity: int = WINDOW_BYTES) -> None:
        """Open what an earlier worker left at `path`, or make it empty."""
        self.capacity = capacity
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fresh = os.fstat(fd).st_size != _HEADER_BYTES + capacity
            if fresh:
                os.ftruncate(fd, 0)
                os.ftruncate(fd, _HEADER_BYTES + capacity)
            self._map = mmap.mmap(fd, _HEADER_BYTES + capacity)
        except OSError as error:
            raise StorageError(f"{path}: the stream window cannot be mapped: {error}") from error
        finally:
            os.close(fd)
        self._bytes = memoryview(self._map)
        self._slots = self._bytes[:_SESSION_AT].cast("Q")
        self._ring = self._bytes[_HEADER_BYTES:]
        if self._slots[_SLOT_MAGIC] != _MAGIC or self._slots[_SLOT_SIZE] != capacity:
            self._slots[_SLOT_SIZE] = capacity
            self._slots[_SLOT_MAGIC] = _MAGIC
        if self.fast and not checksum.FAST:
            raise StorageError(
                f"{path}: this stream was begun with checksums by libxxhash, which cannot be loaded any more",
                hint="install libxxhash0 again, or stop the module",
            )

    @property
    def head(self) -> int:
        return self._slots[_SLOT_HEAD]

    @property
    def applied(self) -> int:
        return self._slots[_SLOT_APPLIED]

    @property
    def start(self) -> int:
        return self._slots[_SLOT_START]

    @property
    def epoch(self) -> int:
        return self._slots[_SLOT_EPOCH]

    @property
    def session(self) -> str:
        """The session whose stream this is, or empty when there is none."""
        length = self._bytes[_SESSION_AT]
        return bytes(self._bytes[_SESSION_AT + 1 : _SESSION_AT + 1 + length]).decode("ascii")

    @property
    def fast(self) -> bool:
        """True when the checksums of large records in this session are the fast ones."""
        return bool(self._slots[_SLOT_FAST])

    @property
    def in_step(self) -> bool:
        """True when promises needed the peer in this session; kept here so that a restarted worker freezes first."""
        return bool(self._slots[_SLOT_IN_STEP])

    @in_step.setter
    def in_step(self, value: bool) -> None:
        self._slots[_SLOT_IN_STEP] = int(value)

    def begin(self, session: str, epoch: int, *, fast: bool = False) -> int:
        """Forget what was unacknowledged and start a session (or none, with an empty id); return where it starts.

        fast: both nodes have the fast checksum.
        """
        name = session.encode("ascii")
        assert len(name) < _SESSION_BYTES_MAX
        self._bytes[_SESSION_AT] = 0
        self._slots[_SLOT_IN_STEP] = 0
        head = self.head
        self._slots[_SLOT_ORIGIN] = head
        self._slots[_SLOT_APPLIED] = head
        self._slots[_SLOT_START] = head
        self._slots[_SLOT_EPOCH] = epoch
        self._slots[_SLOT_FAST] = int(fast)
        self._bytes[_SESSION_AT + 1 : _SESSION_AT + 1 + len(name)] = name
        self._bytes[_SESSION_AT] = len(name)
        return head

    def append(self, item: Item) -> int | None:
        """Add a record and return its end, or None when the ring has no room for it."""
        kind, tree, head, payload = codec.encode(item)
        slots = self._slots
        at = slots[_SLOT_HEAD]
        size = record.size_of(head, payload)
        free = self.capacity - (at - slots[_SLOT_APPLIED])
        if size > free:
            return None
        if free == self.capacity and at - slots[_SLOT_ORIGIN] > _REUSE_AFTER_BYTES:
            slots[_SLOT_ORIGIN] = at
        end = at + size
        start = (at - slots[_SLOT_ORIGIN]) % self.capacity
        if size >= checksum.WIDE_BYTES and slots[_SLOT_FAST]:
            self._put_large(start, end, tree, kind, head, payload)
        else:
            self._put(start, record.header(end, slots[_SLOT_EPOCH], tree, kind, head, payload), head, payload)
        slots[_SLOT_HEAD] = end
        return end

    def unsent(self, sent: int) -> memoryview:
        """The bytes from position `sent` on that lie together; empty when everything was sent."""
        start = (sent - self._slots[_SLOT_ORIGIN]) % self.capacity
        length = min(self._slots[_SLOT_HEAD] - sent, self.capacity - start)
        return self._ring[start : start + length]

    def acknowledge(self, applied: int) -> bool:
        """Free everything up to `applied`; False when that is no position that this session can have reached."""
        if not self._slots[_SLOT_START] <= applied <= self._slots[_SLOT_HEAD]:
            return False
        if applied > self._slots[_SLOT_APPLIED]:
            self._slots[_SLOT_APPLIED] = applied
        return True

    def close(self) -> None:
        """Unmap; the file stays for the next worker."""
        self._slots.release()
        self._ring.release()
        self._bytes.release()
        self._map.close()

    def _put(self, start: int, top: bytes, head: bytes, payload: Payload) -> None:
        """Store a record."""
        small = top + head
        body = start + len(small)
        stop = body + len(payload)
        if stop > self.capacity:
            self._put_around(start, b"".join((small, payload)))
            return
        self._ring[start:body] = small
        if payload:
            self._ring[body:stop] = payload

    def _put_large(self, start: int, end: int, tree: int, kind: int, head: bytes, payload: Payload) -> None:
        """Store a large record of a session with fast checksums, which are computed over the body where it stands."""
        epoch = self._slots[_SLOT_EPOCH]
        body = start + record.HEADER.size
        stop = body + len(head) + len(payload)
        if stop > self.capacity:
            whole = memoryview(bytearray(b"".join((head, payload))))
            self._put_around(start, record.header_over(end, epoch, tree, kind, whole) + whole)
            return
        self._ring[body : body + len(head)] = head
        self._ring[body + len(head) : stop] = payload
        self._ring[start:body] = record.header_over(end, epoch, tree, kind, self._ring[body:stop])

    def _put_around(self, start: int, data: bytes) -> None:
        """Store bytes that go over the ring's end."""
        first = self.capacity - start
        self._ring[start:] = data[:first]
        self._ring[: len(data) - first] = data[first:]
