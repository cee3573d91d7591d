"""Packing of what we answer: attributes, entries, directory entries, the answer to INIT."""

from __future__ import annotations

import os
from dataclasses import dataclass

from services.rfs.fuse import abi
from services.rfs.fuse.abi import Init

FOREVER_S = 1 << 31
"""A validity in seconds that outlives any mount (68 years); the kernel caps longer ones by itself."""

REQUEST_BYTES_MAX = 1 << 20
"""Data in one READ or WRITE: 256 pages, the kernel's default `fs.fuse.max_pages_limit`."""

BUFFER_BYTES = REQUEST_BYTES_MAX + 4096
"""A request buffer: the largest WRITE and its headers. The kernel refuses to use a smaller one."""

PREFERRED_IO_BYTES = 65536
"""What stat(2) tells as the preferred size: buffered libraries then write 64 KiB instead of 4 KiB at a time, and
each write is a round trip to us."""

BACKGROUND_MAX = 64
"""Requests (read-ahead, write-out) that the kernel may keep under way; 12 by default, too few to fill the link."""

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What INIT agreed on; it holds for the life of the mount, across workers."""

    minor: int
    flags: int

    @property
    def is_resumable(self) -> bool:
        """True when the kernel can send pending requests again, so that a new worker may go on (Linux 6.9)."""
        return bool(self.flags & Init.HAS_RESEND)


def pack_attributes(buffer: memoryview, at: int, status: os.stat_result, links: int) -> None:
    """Write a `struct fuse_attr`; `links` stands for st_nlink."""
    atime, atime_ns = divmod(status.st_atime_ns, _SECOND_NS)
    mtime, mtime_ns = divmod(status.st_mtime_ns, _SECOND_NS)
    ctime, ctime_ns = divmod(status.st_ctime_ns, _SECOND_NS)
    abi.ATTR.pack_into(
        buffer,
        at,
        status.st_ino,
        status.st_size,
        status.st_blocks,
        atime & 0xFFFFFFFFFFFFFFFF,
        mtime & 0xFFFFFFFFFFFFFFFF,
        ctime & 0xFFFFFFFFFFFFFFFF,
        atime_ns,
        mtime_ns,
        ctime_ns,
        status.st_mode,
        links,
        status.st_uid,
        status.st_gid,
        kernel_device(status.st_rdev),
        PREFERRED_IO_BYTES,
        0,
    )


def kernel_device(device: int) -> int:
    """A device number as the kernel's 32-bit new_encode_dev() writes it."""
    if not device:
        return 0
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def user_device(encoded: int) -> int:
    """The reverse: what mknod(2) takes."""
    return os.makedev((encoded & 0xFFF00) >> 8, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00))


def parse_init(data: memoryview) -> tuple[int, int, int, int]:
    """Version and offer of the kernel: (major, minor, max_readahead, flags as 64 bits)."""
    if len(data) >= abi.INIT_IN.size:
        major, minor, readahead, flags, flags2 = abi.INIT_IN.unpack_from(data)
        if flags & Init.INIT_EXT:
            flags |= flags2 << 32
        return major, minor, readahead, flags
    major, minor, readahead, flags = abi.INIT_IN_SHORT.unpack_from(data)
    return major, minor, readahead, flags


def wanted_flags(*, write_back: bool) -> int:
    """The features that we ask for; what each is for is told in `CONCURRENCY.md` and decision record 7."""
    flags = (
        Init.ASYNC_READ
        | Init.ATOMIC_O_TRUNC
        | Init.BIG_WRITES
        | Init.DONT_MASK
        | Init.DO_READDIRPLUS
        | Init.READDIRPLUS_AUTO
        | Init.ASYNC_DIO
        | Init.PARALLEL_DIROPS
        | Init.HANDLE_KILLPRIV_V2
        | Init.POSIX_ACL
        | Init.ABORT_ERROR
        | Init.MAX_PAGES
        | Init.CACHE_SYMLINKS
        | Init.EXPLICIT_INVAL_DATA
        | Init.SETXATTR_EXT
        | Init.INIT_EXT
        | Init.DIRECT_IO_ALLOW_MMAP
        | Init.HAS_RESEND
    )
    return int(flags | Init.WRITEBACK_CACHE if write_back else flags)


def pack_init(buffer: memoryview, at: int, session: Session, readahead: int) -> int:
    """Write a `struct fuse_init_out` and return its length."""
    abi.INIT_OUT.pack_into(
        buffer,
        at,
        abi.KERNEL_VERSION,
        session.minor,
        readahead,
        session.flags & 0xFFFFFFFF,
        BACKGROUND_MAX,
        BACKGROUND_MAX * 3 // 4,
        REQUEST_BYTES_MAX,
        1,
        REQUEST_BYTES_MAX // 4096,
        0,
        session.flags >> 32,
        0,
    )
    return abi.INIT_OUT.size


def align8(length: int) -> int:
    """FUSE_DIRENT_ALIGN: entries of a directory start at multiples of eight bytes."""
    return (length + 7) & ~7
