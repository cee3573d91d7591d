"""The checksum of records, small and large."""

from __future__ import annotations

import random
import struct

import pytest

from services.rfs.core import checksum, record
from services.rfs.core.limits import BODY_BYTES_MAX

SIZES = (0, 1, 100, checksum.WIDE_BYTES - 1, checksum.WIDE_BYTES, checksum.WIDE_BYTES + 1, 300_000)


@pytest.mark.parametrize("size", SIZES)
def test_where_the_head_ends_makes_no_difference(size: int) -> None:
    body = random.Random(size).randbytes(size)
    whole = checksum.summed(b"header", b"", body)
    for cut in {0, 1, size // 2, size}:
        assert checksum.summed(b"header", body[:cut], memoryview(bytearray(body[cut:]))) == whole


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_changed_bit_changes_the_checksum(size: int) -> None:
    dice = random.Random(size)
    body = bytearray(dice.randbytes(size))
    whole = checksum.summed(b"header", b"", bytes(body))
    body[dice.randrange(size)] ^= 1 << dice.randrange(8)
    assert checksum.summed(b"header", b"", memoryview(body)) != whole
    assert checksum.summed(b"Header", b"", bytes(body)) != whole


def test_large_bodies_are_checked_by_crc64_where_liblzma_is_installed() -> None:
    """CRC-64/XZ of "123456789" is 0x995DC9BBDF1939FA (the check value of its definition)."""
    if checksum.NAME == "crc32":
        pytest.skip("liblzma.so.5 is not installed")
    assert checksum._crc64(b"123456789", 0) == 0x995DC9BBDF1939FA


def test_what_a_record_still_lacks_is_known_from_its_header() -> None:
    data = record.header(5, 1, 0, 9, b"head", b"payload") + b"head" + b"payload"
    assert record.missing(memoryview(b"")) == record.HEADER.size
    assert record.missing(memoryview(data[:3])) == record.HEADER.size - 3
    assert record.missing(memoryview(data[: record.HEADER.size])) == len(b"headpayload")
    assert record.missing(memoryview(data[:-2])) == 2
    assert record.missing(memoryview(data)) == 0
    assert record.missing(memoryview(data + data[:5])) == 0


def test_an_impossible_length_is_not_waited_for() -> None:
    data = struct.pack("<I", BODY_BYTES_MAX + 1) + bytes(record.HEADER.size - 4)
    assert record.missing(memoryview(data)) == 0
