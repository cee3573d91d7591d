"""Reads a `.safe` package (a zip file) without trusting it.

Everything is judged from the directory of the archive before a byte is unpacked, and the sizes promised
there are enforced while unpacking.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from holdfast.config.layout import (
    ENTRIES_MAX,
    PACKAGE_BYTES_MAX,
    PATH_BYTES_MAX,
    Entry,
    entries_faults,
    kind_fault,
    name_fault,
)
from holdfast.config.model import NOWHERE
from holdfast.config.problem import PROBLEMS_MAX, Report, excerpt, single_error
from holdfast.errors import ConfigError, EnvironmentFaultError

RATIO_MAX = 100
"""Unpacked bytes for one packed byte. Scripts reach about ten; deflate can reach 1032 only with one byte repeated."""
RATIO_FREE_BYTES = 1024 * 1024
"""An entry below this size may have any ratio: a small file of zeros is no bomb."""
CHUNK_BYTES = 64 * 1024

_END_RECORD = b"PK\x05\x06"
_END_SIZE = 22
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_COMMENT_BYTES_MAX = 65535
_DIRECTORY_BYTES_MAX = ENTRIES_MAX * (46 + PATH_BYTES_MAX + 256)
"""Bytes of the archive's directory: a header of 46 bytes, a name and extra fields for each entry.
APPNOTE.TXT of PKWARE, 4.3.12 and 4.3.16."""
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError)
"""What `zipfile` raises for an archive whose parts contradict each other."""


@contextmanager
def open_archive(file: Path) -> Iterator[Archive]:
    """Opens and judges a package. Raises ConfigError with every fault, EnvironmentFaultError if unreadable."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise EnvironmentFaultError(f"{file} cannot be read: {error.strerror}") from error
    with stream:
        _check_end_record(stream, str(file))
        try:
            archive = zipfile.ZipFile(stream)
        except (*_DAMAGE, OSError) as error:
            raise _damaged_package(file, error) from None
        try:
            with archive:
                yield Archive(archive, str(file))
        except _DAMAGE as error:
            raise _damaged_package(file, error) from None


def _damaged_package(file: Path, error: Exception) -> ConfigError:
    return single_error(str(file), f"damaged package: {excerpt(str(error))}", accepted="a zip file")


def _check_end_record(stream: BinaryIO, source: str) -> None:
    """Refuses what is no zip, or has a directory so large that reading it would be an attack."""
    size = stream.seek(0, os.SEEK_END)
    if size > PACKAGE_BYTES_MAX:
        raise single_error(source, f"the package has {size} bytes", accepted=f"at most {PACKAGE_BYTES_MAX}")
    stream.seek(max(0, size - _END_SIZE - _COMMENT_BYTES_MAX))
    tail = stream.read()
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise single_error(source, "this is not a package", accepted="a zip file with conf/userconfig.xml in it")
    count, directory_bytes, offset = struct.unpack_from("<HII", tail, at + 10)
    is_zip64 = tail[: max(0, at)].rfind(_ZIP64_LOCATOR, max(0, at - _ZIP64_LOCATOR_SIZE)) >= 0
    if is_zip64 or count == 0xFFFF or 0xFFFFFFFF in (directory_bytes, offset):
        raise single_error(source, "the package is in zip64 form", accepted=f"at most {ENTRIES_MAX} entries")
    if count > ENTRIES_MAX or directory_bytes > _DIRECTORY_BYTES_MAX:
        raise single_error(source, f"the package has {count} entries", accepted=f"at most {ENTRIES_MAX}")


class Archive:
    """An open package whose directory has been judged."""

    def __init__(self, archive: zipfile.ZipFile, source: str) -> None:
        self._archive = archive
        self._source = source
        self._infos: dict[PurePosixPath, zipfile.ZipInfo] = {}
        self.entries = self._judged()

    def _judged(self) -> tuple[Entry, ...]:
        report = Report(source=self._source)
        entries: list[Entry] = []
        for info in self._archive.infolist():
            fault = _entry_fault(info)
            if fault:
                report.error(NOWHERE, f"entry {excerpt(info.orig_filename)} {fault}", accepted="plain files")
                continue
            path = PurePosixPath(info.filename)
            entries.append(
                Entry(
                    path=path,
                    is_directory=info.is_dir(),
                    size=info.file_size,
                    executable=bool(info.external_attr >> 16 & 0o111),
                )
            )
            self._infos[path] = info
        for fault in entries_faults(entries)[:PROBLEMS_MAX]:
            report.error(NOWHERE, fault)
        self._check_ratio(report)
        report.raise_if_wrong()
        return tuple(entries)

    def _check_ratio(self, report: Report) -> None:
        infos = self._archive.infolist()
        packed, unpacked = sum(i.compress_size for i in infos), sum(i.file_size for i in infos)
        if unpacked > RATIO_FREE_BYTES and unpacked > RATIO_MAX * max(1, packed):
            message = f"{packed} packed bytes would become {unpacked}"
            report.error(NOWHERE, message, accepted=f"at most {RATIO_MAX} times as many")

    def read(self, path: PurePosixPath) -> Iterator[bytes]:
        """The content of a file in chunks, never more than its promised size."""
        info = self._infos[path]
        left = info.file_size
        try:
            with self._archive.open(info) as member:
                while chunk := member.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise self._damaged(path)
                    yield chunk
        except OSError as error:
            raise EnvironmentFaultError(f"{self._source} cannot be read: {error.strerror}") from error
        if left:
            raise self._damaged(path)

    def _damaged(self, path: PurePosixPath) -> ConfigError:
        return single_error(self._source, f"entry {excerpt(str(path))} has another size than promised")


def _entry_fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with one entry, or nothing."""
    if fault := name_fault(info.orig_filename):
        return fault
    mode = info.external_attr >> 16
    if fault := kind_fault(mode):
        return fault
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that is not read"
    if info.header_offset < 0:
        return "lies outside the package"
    if info.is_dir() and info.file_size:
        return "is a directory with content"
    if info.file_size > RATIO_FREE_BYTES and info.file_size > RATIO_MAX * max(1, info.compress_size):
        return f"would unpack to {info.file_size} bytes from {info.compress_size}"
    return ""
