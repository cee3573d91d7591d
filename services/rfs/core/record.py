"""Records: one operation or marker with its place in the stream. The ring and the wire hold the same bytes.

A record is a header of 24 bytes and a body. `position` is the stream position just after the record, in bytes since the
stream began: positions are the sequence numbers of the stream, so "everything up to p" and "p bytes" say the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.errors import PeerError

from services.rfs.core import checksum
from services.rfs.core.codec import Payload
from services.rfs.core.limits import BODY_BYTES_MAX

HEADER = struct.Struct("<IIQIHBx")
"""body length u32, checksum u32 of the rest of the header and the body, position u64, epoch u32, tree u16, kind u8."""
_CHECKED = struct.Struct("<QIHBx")
_CHECKED_FROM = 8
_EPOCH_MASK = 0xFFFF_FFFF
"""The header holds the low half of the epoch; the handshake compares it whole."""

assert HEADER.size == _CHECKED_FROM + _CHECKED.size


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose checksum was right; `body` is a view into the buffer it came in."""

    position: int
    epoch: int
    tree: int
    kind: int
    body: memoryview


def size_of(head: bytes, payload: Payload) -> int:
    """Bytes that a record with this body takes in the stream."""
    return HEADER.size + len(head) + len(payload)


def header(position: int, epoch: int, tree: int, kind: int, head: bytes, payload: Payload) -> bytes:
    """The header of a record that ends at `position`."""
    checked = _CHECKED.pack(position, epoch & _EPOCH_MASK, tree, kind)
    total = checksum.summed(checked, head, payload)
    return HEADER.pack(len(head) + len(payload), total, position, epoch & _EPOCH_MASK, tree, kind)


def header_over(position: int, epoch: int, tree: int, kind: int, body: memoryview) -> bytes:
    """As `header`, in a session with fast checksums; `body` is the body in one piece, where it will be sent from."""
    checked = _CHECKED.pack(position, epoch & _EPOCH_MASK, tree, kind)
    total = checksum.summed_fast(checked, body)
    return HEADER.pack(len(body), total, position, epoch & _EPOCH_MASK, tree, kind)


def read(buffer: memoryview, start: int, end: int, *, after: int, epoch: int, fast: bool = False) -> Iterator[Record]:
    """Yield the whole records in `buffer[start:end]`; the caller keeps an incomplete one at the end.

    `after` is the stream position at `start`; `fast`: the session's checksums are the fast ones. Raises PeerError at
    the first record that is too long, has a wrong checksum, does not follow the one before, or is of another epoch.
    """
    while end - start >= HEADER.size:
        length, total, position, its_epoch, tree, kind = HEADER.unpack_from(buffer, start)
        if length > BODY_BYTES_MAX:
            raise PeerError(f"a record of {length} bytes in the stream", hint=f"at most {BODY_BYTES_MAX}")
        stop = start + HEADER.size + length
        if stop > end:
            return
        body = buffer[start + HEADER.size : stop]
        checked = bytes(buffer[start + _CHECKED_FROM : start + HEADER.size])
        if (checksum.summed_fast(checked, body) if fast else checksum.summed(checked, b"", body)) != total:
            raise PeerError(f"the checksum of the record at {after} is wrong")
        if position != after + HEADER.size + length:
            raise PeerError(f"the record after {after} says that it ends at {position}")
        if its_epoch != epoch & _EPOCH_MASK:
            raise PeerError(f"a record of epoch {its_epoch} in a stream of epoch {epoch}")
        yield Record(position, its_epoch, tree, kind, body)
        after = position
        start = stop


def missing(received: memoryview) -> int:
    """Bytes that the record at the start of `received` still lacks; a header's size while not even that is there.

    Nothing is checked here, but a record longer than is possible counts as complete, for `read` to refuse it.
    """
    if len(received) < HEADER.size:
        return HEADER.size - len(received)
    length: int = HEADER.unpack_from(received)[0]
    return max(0, HEADER.size + length - len(received)) if length <= BODY_BYTES_MAX else 0
