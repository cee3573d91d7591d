"""A census: all names of one directory in one digest, so that equal directories are found without telling each name.

Pure codec. In two directories with the same digest every name shows the same, by `attributes_equal`. A directory in
which a file has several names is told by rows instead: which names are one file is seen only across directories.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from services.rfs.core.codec import Reader, text
from services.rfs.core.limits import PATH_BYTES_MAX
from services.rfs.core.rows import DIGEST_BYTES, Row, encode_rows, take_rows

NAME_SHOWN = struct.Struct("<HIIIQqQQ")
"""Length of the name; mode, uid, gid, size, modification time in ns, device, digest of target and attributes. Size and
device are 0 where `attributes_equal` does not look at them."""
_HAS_ROWS = struct.Struct("<B")


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """One directory. digest: of all names, empty when `rows` tell them. directories: names of those in it."""

    directory: bytes
    digest: bytes = b""
    names: int = 0
    directories: tuple[bytes, ...] = ()
    rows: list[Row] | None = None

    @property
    def below(self) -> tuple[bytes, ...]:
        """Names of the directories in it."""
        return self.directories if self.rows is None else tuple(row.name for row in self.rows if row.is_directory)


def digest_of_names(shown: list[bytes]) -> bytes:
    """The digest of a directory from what its names show, each `NAME_SHOWN` and the name, sorted by name."""
    return blake2b(b"".join(shown), digest_size=DIGEST_BYTES).digest()


def encode(census: Census) -> bytes:
    """What the other side needs: the directory with its digest or its rows."""
    if census.rows is not None:
        return _HAS_ROWS.pack(1) + encode_rows(census.directory, census.rows)
    return _HAS_ROWS.pack(0) + text(census.directory) + census.digest


def decode(message: bytes) -> Iterator[Census]:
    """The inverse, for any number of them in one message; raises PeerError for rubbish."""
    reader = Reader(memoryview(message))
    while not reader.is_empty:
        (has_rows,) = reader.take(_HAS_ROWS)
        if has_rows:
            directory, rows = take_rows(reader)
            yield Census(directory=directory, rows=rows)
        else:
            yield Census(directory=reader.text(PATH_BYTES_MAX), digest=reader.exactly(DIGEST_BYTES))


__all__ = ["NAME_SHOWN", "Census", "decode", "digest_of_names", "encode"]
