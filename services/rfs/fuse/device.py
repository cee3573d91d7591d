"""The FUSE device: reading requests, answering them, notifying the kernel."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Sequence

from services.rfs.fuse import abi
from services.rfs.fuse.abi import Notify
from services.rfs.fuse.codec import BUFFER_BYTES

DEVICE_PATH = "/dev/fuse"

ENDED_ERRORS = frozenset({errno.ENODEV, errno.ECONNABORTED, errno.EBADF})
"""What reading the device says when the file system was unmounted or its connection aborted."""


_WRITE_DATA_AT = abi.IN_HEADER_BYTES + abi.WRITE_IN.size
_DATA_START = mmap.PAGESIZE - _WRITE_DATA_AT
_OUT_START = mmap.PAGESIZE - abi.OUT_HEADER_BYTES


class Request:
    """One worker's request and answer, reused for every request: buffers are allocated once.

    Handlers read the arguments in `data` (from `body` on) and put the answer's payload into `out` from
    `OUT_HEADER_BYTES` on. Both are placed in memory so that the data of a WRITE and of an answer to READ begin at a
    page: the kernel copies page by page, and each of its pages then meets one of ours instead of two.
    """

    __slots__ = (
        "_memory",
        "data",
        "gid",
        "is_resent",
        "later",
        "length",
        "node_id",
        "opcode",
        "out",
        "pid",
        "uid",
        "umask",
        "unique",
    )

    def __init__(self) -> None:
        self._memory = _anonymous(_DATA_START + BUFFER_BYTES)
        self.data = memoryview(self._memory)[_DATA_START:]
        self.out = memoryview(_anonymous(_OUT_START + BUFFER_BYTES))[_OUT_START:]
        self.length = 0
        self.opcode = 0
        self.unique = 0
        self.node_id = 0
        self.uid = 0
        self.gid = 0
        self.pid = 0
        self.is_resent = False
        self.umask = -1
        self.later: Callable[[], None] | None = None
        """What is left to do when the answer has been sent, and nobody waits for; the handler sets it."""

    def name(self, at: int) -> bytes:
        """The name that starts at an offset of the request and ends with a null byte."""
        return bytes(self.data[at : self._end(at)])

    def two_names(self, at: int) -> tuple[bytes, bytes]:
        """Two names, one behind the other."""
        first_end = self._end(at)
        return bytes(self.data[at:first_end]), bytes(self.data[first_end + 1 : self._end(first_end + 1)])

    def _end(self, at: int) -> int:
        """Where the next null byte is."""
        return self._memory.find(b"\0", _DATA_START + at) - _DATA_START


def _anonymous(length: int) -> mmap.mmap:
    """Memory of our own that begins at a page."""
    return mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Device:
    """An open FUSE device; the descriptor belongs to the caller. Safe to use from several threads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def receive(self, request: Request) -> bool:
        """Wait for the next request; False when the connection has ended."""
        while True:
            try:
                length = os.readv(self.fd, (request.data,))
            except OSError as error:
                # ENOENT: the request was taken back before we read it. EAGAIN: a descriptor made non-blocking.
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                if error.errno in ENDED_ERRORS:
                    return False
                raise
            if length == 0:
                return False
            (
                request.length,
                request.opcode,
                unique,
                request.node_id,
                request.uid,
                request.gid,
                request.pid,
                _,
                _,
            ) = abi.IN_HEADER.unpack_from(request.data)
            request.unique = unique
            request.is_resent = unique >= abi.UNIQUE_RESEND
            return True

    def answer(self, request: Request, length: int) -> None:
        """Send the payload of `length` bytes that stands in `request.out`."""
        total = abi.OUT_HEADER_BYTES + length
        abi.OUT_HEADER.pack_into(request.out, 0, total, 0, request.unique)
        self._send((request.out[:total],))

    def refuse(self, request: Request, number: int) -> None:
        """Answer with an errno."""
        self._send((abi.OUT_HEADER.pack(abi.OUT_HEADER_BYTES, -number, request.unique),))

    def _send(self, buffers: Sequence[bytes | memoryview]) -> None:
        try:
            os.writev(self.fd, buffers)
        except OSError as error:
            # ENOENT: the request is gone (its process was killed, or a predecessor had answered it already).
            if error.errno != errno.ENOENT and error.errno not in ENDED_ERRORS:
                raise

    def resend_pending(self) -> None:
        """Ask the kernel to send again what it still waits for (FUSE_NOTIFY_RESEND)."""
        os.write(self.fd, abi.OUT_HEADER.pack(abi.OUT_HEADER_BYTES, Notify.RESEND, 0))

    def invalidate_inode(self, node_id: int, offset: int = 0, length: int = 0) -> None:
        """Drop cached attributes and, when offset is not negative, cached data (length 0: to the end)."""
        self._notify(Notify.INVAL_INODE, abi.INVAL_INODE_OUT.pack(node_id, offset, length))

    def invalidate_entry(self, parent_id: int, name: bytes) -> None:
        """Drop a cached name of a directory."""
        payload = abi.INVAL_ENTRY_OUT.pack(parent_id, len(name), 0) + name + b"\0"
        self._notify(Notify.INVAL_ENTRY, payload)

    def _notify(self, code: Notify, payload: bytes) -> None:
        header = abi.OUT_HEADER.pack(abi.OUT_HEADER_BYTES + len(payload), code, 0)
        try:
            os.writev(self.fd, (header, payload))
        except OSError as error:
            # ENOENT: the kernel does not cache it. ENOTEMPTY, EBUSY: an entry in use stays, without validity.
            ignored = (errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY, errno.ENOTDIR)
            if error.errno not in ignored and error.errno not in ENDED_ERRORS:
                raise


def open_device() -> int:
    """Open a fresh FUSE device."""
    return os.open(DEVICE_PATH, os.O_RDWR | os.O_CLOEXEC)
