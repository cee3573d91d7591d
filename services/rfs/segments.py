"""The change journal's files: numbered segments, of which only the newest grows, and bases that replace several.

A base is written beside, made durable, and renamed over the newest segment it replaces; only then the older ones go.
So at every moment the files together hold everything that was noted, perhaps twice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.rfs.core import noting
from services.rfs.core.paths import Entry
from services.rfs.disk import Disk

SETTLED = b"\xff" * 16
"""In place of a boot id: the segment was whole and durable when replication ended, so no reboot can have cut it."""
UNSURE = bytes(16)
"""In place of a boot id: some of what was taken together was noted before a reboot."""
WRITE_BYTES = 256 << 10
_SEGMENT = "segment-"
_BASE = "base.new"


class Segments:
    """Files in one directory. Not thread-safe, except that segments older than the newest may be read at any time."""

    def __init__(self, directory: Path, boot: bytes, disk: Disk) -> None:
        """Look at what is there; `begin` starts a segment of our own. Raises OSError."""
        self._directory = directory
        self._boot = boot
        self._disk = disk
        self._fd = -1
        (directory / _BASE).unlink(missing_ok=True)
        self.newest = max(self.numbers(), default=0)
        self.size = 0
        """Bytes in the newest segment."""
        self.is_torn = False
        """Nothing that is appended to the newest segment would be found again."""

    def numbers(self) -> list[int]:
        """Every segment's number, oldest first."""
        return sorted(
            int(name.removeprefix(_SEGMENT))
            for name in os.listdir(self._directory)
            if name.startswith(_SEGMENT) and name.removeprefix(_SEGMENT).isdigit()
        )

    def bytes_in(self, numbers: Iterable[int]) -> int:
        return sum(self._path(number).stat().st_size for number in numbers)

    def begin(self) -> None:
        """Start a new segment; the one before is not written any more."""
        number = self.newest + 1
        path = os.fsencode(self._path(number))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        fd = self._disk.open("changes.segment.open", path, flags)
        try:
            self._disk.write("changes.segment.begin", fd, noting.SEGMENT_HEADER.pack(noting.MAGIC, self._boot))
        except OSError:
            os.close(fd)
            self._path(number).unlink()
            raise
        self.close()
        self._fd, self.newest, self.size, self.is_torn = fd, number, noting.SEGMENT_HEADER.size, False

    def append(self, data: bytes) -> None:
        """Add records to the newest segment, without making them durable; after an error it may end in a torn one."""
        count = self._disk.write("changes.append", self._fd, data)
        self.size += count
        if count != len(data):
            self.is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path(self.newest)))

    def sync(self) -> None:
        """Make the newest segment durable."""
        self._disk.fsync("changes.sync", self._fd)

    def read(self, number: int) -> Iterator[Entry]:
        """The entries of a segment, up to the first one that is not whole."""
        return noting.decode(self._path(number).read_bytes()[noting.SEGMENT_HEADER.size :])

    def boot_of(self, number: int) -> bytes:
        """The boot in which a segment was begun, or one of SETTLED and UNSURE."""
        data = self._path(number).read_bytes()[: noting.SEGMENT_HEADER.size]
        if len(data) < noting.SEGMENT_HEADER.size:
            return UNSURE
        magic, boot = noting.SEGMENT_HEADER.unpack(data)
        return bytes(boot) if magic == noting.MAGIC else UNSURE

    def is_sure(self, number: int) -> bool:
        """True when no reboot can have taken the segment's last notes."""
        return self.boot_of(number) in (self._boot, SETTLED)

    def write_base(self, entries: Iterable[Entry], boot: bytes) -> None:
        """Write entries, each of which stays noted, beside the segments, and make them durable."""
        fd = self._disk.open(
            "changes.base.open", os.fsencode(self._directory / _BASE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        )
        try:
            data = bytearray(noting.SEGMENT_HEADER.pack(noting.MAGIC, boot))
            for entry in entries:
                data += noting.encode(entry)
                if len(data) >= WRITE_BYTES:
                    self._write_all(fd, bytes(data))
                    data.clear()
            self._write_all(fd, bytes(data))
            self._disk.fsync("changes.base.sync", fd)
        finally:
            os.close(fd)

    def place_base(self, number: int) -> None:
        """Put the base in the place of segment `number`, durably. That segment must not be the one that grows."""
        path = self._path(number)
        self._disk.replace_path("changes.base.rename", str(self._directory / _BASE), str(path))
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._disk.fsync("changes.directory.sync", directory)
        finally:
            os.close(directory)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget whole segments."""
        for number in numbers:
            try:
                self._disk.unlink("changes.segment.remove", os.fsencode(self._path(number)))
            except FileNotFoundError:
                continue

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write_all(self, fd: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._disk.write("changes.base.write", fd, view) :]

    def _path(self, number: int) -> Path:
        return self._directory / f"{_SEGMENT}{number:012d}"
