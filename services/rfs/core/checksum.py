"""The checksum of a record's body. Pure.

Large bodies are checked with CRC-64/XZ through liblzma, which computes it with the processor's carry-less
multiplication: 0.15 ms a MiB where zlib's CRC-32 takes 0.5 to 0.7 ms, which was the largest single cost of a large
write, on both sides. liblzma is the library behind Python's own `lzma`, and dpkg's and rpm's. Where it cannot be
loaded, zlib does all; both nodes say at the handshake which way they go (`NAME`), because it must be the same.

XXH3 through libxxhash (apt's and rsync's) takes 0.03 ms a MiB. A session whose two nodes both have it (`FAST`) uses it
for large bodies: it needs the body in one piece, which the ring and the receiver's buffer have.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from typing import cast

WIDE_BYTES = 16 << 10
"""Bodies of at least this size get the wide checksum; calling it costs as much as 4 KiB of CRC-32."""

_WIDE_SUM_BYTES = 8


def _load() -> ctypes.CDLL | None:
    """liblzma with its `lzma_crc64` declared (lzma/check.h), or None when it is not installed."""
    try:
        library = ctypes.CDLL("liblzma.so.5")
        library.lzma_crc64.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64]
        library.lzma_crc64.restype = ctypes.c_uint64
    except (OSError, AttributeError):
        return None
    return library


def _load_fast() -> Callable[[object, int], int] | None:
    """XXH3_64bits of libxxhash, if there is one the variant that asks what the processor can (xxh_x86dispatch.h)."""
    try:
        library = ctypes.CDLL("libxxhash.so.0")
        function = getattr(library, "XXH3_64bits_dispatch", None) or library.XXH3_64bits
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_uint64
    return cast("Callable[[object, int], int]", function)


_library = _load()
_xxh3 = _load_fast()
NAME = "crc32" if _library is None else "crc64"
"""How this node computes checksums of large bodies in a session that says nothing else."""
FAST = "" if _xxh3 is None else "xxh3"
"""The faster way that this node has as well, empty when it has none."""


def summed(checked: bytes, head: bytes | memoryview, payload: bytes | memoryview) -> int:
    """The 32 bits that protect `checked` (the rest of the header) and the body, `head` followed by `payload`.

    Where `head` ends makes no difference, so a receiver may give the whole body as `payload`.
    """
    if len(head) + len(payload) >= WIDE_BYTES and _library is not None:
        wide = _crc64(payload, _crc64(head, 0))
        return zlib.crc32(wide.to_bytes(_WIDE_SUM_BYTES, "little"), zlib.crc32(checked))
    return zlib.crc32(payload, zlib.crc32(head, zlib.crc32(checked)))


def summed_fast(checked: bytes, body: memoryview) -> int:
    """As `summed`, by XXH3 where the body is large; its memory must be writable. Only where `FAST` is not empty."""
    if len(body) < WIDE_BYTES:
        return zlib.crc32(body, zlib.crc32(checked))
    assert _xxh3 is not None
    wide = _xxh3(ctypes.byref(ctypes.c_char.from_buffer(body)), len(body))
    return zlib.crc32(wide.to_bytes(_WIDE_SUM_BYTES, "little"), zlib.crc32(checked))


def _crc64(data: bytes | memoryview, value: int) -> int:
    """CRC-64/XZ of `data`, continuing `value`; the interpreter lock is released meanwhile."""
    assert _library is not None
    if not data:
        return value
    if type(data) is memoryview and not data.readonly:
        where = ctypes.byref(ctypes.c_char.from_buffer(data))
        return int(_library.lzma_crc64(where, len(data), value))
    return int(_library.lzma_crc64(bytes(data), len(data), value))


__all__ = ["FAST", "NAME", "WIDE_BYTES", "summed", "summed_fast"]
