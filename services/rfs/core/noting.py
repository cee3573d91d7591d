"""The change journal's records as bytes. Pure; a torn or damaged tail ends the reading and gives no wrong entries."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from services.rfs.core.limits import PATH_BYTES_MAX
from services.rfs.core.paths import Entry, Extent

_RECORD = struct.Struct("<IBHIH")
"""crc32 u32 of the rest, extent u8, tree u16, zone u32, path length u16; then the path."""
_CRC_BYTES = 4
SEGMENT_HEADER = struct.Struct("<8s16s")
"""Magic, and the machine's boot id when the segment was begun."""
MAGIC = b"HFCHNG01"


def encode(entry: Entry) -> bytes:
    """One journal record."""
    body = _RECORD.pack(0, entry.extent, entry.tree, entry.zone, len(entry.path))[_CRC_BYTES:] + entry.path
    return zlib.crc32(body).to_bytes(_CRC_BYTES, "little") + body


def decode(data: bytes) -> Iterator[Entry]:
    """Yield the entries of a segment (without its header) or a message, up to the first one that is not whole."""
    at = 0
    while len(data) - at >= _RECORD.size:
        crc, extent, tree, zone, length = _RECORD.unpack_from(data, at)
        end = at + _RECORD.size + length
        if length > PATH_BYTES_MAX or end > len(data) or zlib.crc32(data[at + _CRC_BYTES : end]) != crc:
            return
        try:
            kind = Extent(extent)
        except ValueError:
            return
        yield Entry(tree=tree, path=data[at + _RECORD.size : end], extent=kind, zone=zone)
        at = end
