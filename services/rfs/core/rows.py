"""Rows: what one name is, small enough to compare two whole trees by them. Pure codec of lists of rows."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from hashlib import blake2b

from holdfast.errors import PeerError

from services.rfs.core.codec import Reader, text
from services.rfs.core.limits import NAME_BYTES_MAX, PATH_BYTES_MAX

_ROW = struct.Struct("<IIIQqQIQQ")
_COUNT = struct.Struct("<I")
ROWS_MAX = 1_000_000
"""Rows in one message; its length limit is reached first."""
DIGEST_BYTES = 16
"""Of a block's blake2b: 128 bits, so that two different blocks never look equal by chance."""


@dataclass(frozen=True, slots=True)
class Row:
    """One name. `links` and `inode` only serve to tell which names are one file; `extra` is a digest (see `digest_of`).

    size is 0 for everything but regular files.
    """

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    device: int
    links: int
    inode: int
    extra: int

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)


def digest_of(target: bytes, attributes: tuple[tuple[bytes, bytes], ...]) -> int:
    """64 bits for a link's target and the extended attributes; 0 when there are none."""
    if not target and not attributes:
        return 0
    state = blake2b(text(target), digest_size=8)
    for name, value in attributes:
        state.update(text(name))
        state.update(_COUNT.pack(len(value)))
        state.update(value)
    return int.from_bytes(state.digest(), "little")


def attributes_equal(one: Row, other: Row) -> bool:
    """True when everything that a row shows is equal, but for inode numbers and the number of names."""
    if (one.mode, one.mtime_ns, one.uid, one.gid, one.extra) != (
        other.mode,
        other.mtime_ns,
        other.uid,
        other.gid,
        other.extra,
    ):
        return False
    if one.is_directory:
        return True
    return one.size == other.size and one.device == other.device and (one.links > 1) == (other.links > 1)


def differing(one: Row, other: Row) -> str:
    """What differs, in words for an operator; empty when nothing does."""
    if stat.S_IFMT(one.mode) != stat.S_IFMT(other.mode):
        return "type"
    found = [
        word
        for word, differs in (
            ("mode", one.mode != other.mode),
            ("owner", (one.uid, one.gid) != (other.uid, other.gid)),
            ("size", one.size != other.size),
            ("modification time", one.mtime_ns != other.mtime_ns),
            ("device number", one.device != other.device),
            ("extended attributes or target", one.extra != other.extra),
            ("links", not one.is_directory and (one.links > 1) != (other.links > 1)),
        )
        if differs
    ]
    return ", ".join(found)


def encode_rows(directory: bytes, rows: list[Row]) -> bytes:
    """The rows of one directory as a message."""
    parts = [text(directory), _COUNT.pack(len(rows))]
    for row in rows:
        parts.append(text(row.name))
        parts.append(
            _ROW.pack(
                row.mode,
                row.uid,
                row.gid,
                row.size,
                row.mtime_ns,
                row.device,
                row.links,
                row.inode,
                row.extra,
            )
        )
    return b"".join(parts)


def decode_rows(message: bytes) -> tuple[bytes, list[Row]]:
    """Return directory and rows; raise PeerError for rubbish."""
    reader = Reader(memoryview(message))
    found = take_rows(reader)
    reader.end()
    return found


def take_rows(reader: Reader) -> tuple[bytes, list[Row]]:
    """Take one directory with its rows from the front of a message."""
    directory = reader.text(PATH_BYTES_MAX)
    (count,) = reader.take(_COUNT)
    if count > ROWS_MAX:
        raise PeerError(f"{count} rows in one message", hint=f"at most {ROWS_MAX}")
    return directory, [Row(reader.text(NAME_BYTES_MAX), *reader.take(_ROW)) for _ in range(count)]
