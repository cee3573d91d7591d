"""Reading directories, and making them durable."""

from __future__ import annotations

import errno
import os
import stat

from services.rfs.core.operations import Synchronise
from services.rfs.filesystem import DIRECTORY_FLAGS, IN, OUT, FileSystem
from services.rfs.fuse import abi, codec
from services.rfs.fuse.device import Request
from services.rfs.nodes import DIRECTORY_KIND, HIDDEN_DIRECTORY, Descriptor, Directory, Node

LIST_BYTES = 32768
"""Read from a directory at once: what one READDIR may hold anyway (the kernel asks for a page to 32 pages)."""

SELF_AND_PARENT = (b".", b"..")
NAME_AT = abi.LINUX_DIRENT64.size


def open_directory(fs: FileSystem, request: Request) -> int:
    """OPENDIR: nothing to keep; on a primary the kernel may cache the listing."""
    fs.directory(fs.nodes.get(request.node_id))
    flags = abi.FOPEN_KEEP_CACHE | abi.FOPEN_CACHE_DIR if fs.is_writable else 0
    abi.OPEN_OUT.pack_into(request.out, OUT, 0, flags, 0)
    return abi.OPEN_OUT.size


def release_directory(fs: FileSystem, request: Request) -> int:
    """RELEASEDIR: nothing was kept."""
    return 0


def read_directory(fs: FileSystem, request: Request) -> int:
    """READDIR."""
    return _list(fs, request, with_attributes=False)


def read_directory_plus(fs: FileSystem, request: Request) -> int:
    """READDIRPLUS: each entry with what LOOKUP would say."""
    return _list(fs, request, with_attributes=True)


def _list(fs: FileSystem, request: Request, *, with_attributes: bool) -> int:
    """Entries from a position on, as many as fit.

    Positions are those of the file system below, so that they stay good in another worker and as telldir(3) demands.
    """
    _, offset, size, _, _, _, _ = abi.READ_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    directory = fs.directory(node)
    room = min(size, codec.REQUEST_BYTES_MAX)
    entries = bytearray(LIST_BYTES)
    used = 0
    with fs.lock(node):
        listing = _listing_at(fs, directory, offset)
        while True:
            length = fs.disk.getdents("readdir", listing.fd, entries)
            added, is_full, last = _pack(fs, request, node, directory, entries[:length], used, room, with_attributes)
            used += added
            if is_full or not length:
                return used
            if used:
                # The rest comes with the next request, from where the descriptor now stands.
                directory.listing, directory.position = listing, last
                return used


def _listing_at(fs: FileSystem, directory: Directory, offset: int) -> Descriptor:
    """A descriptor whose next entries are those from an offset on: the last one if it stands there, else a new one.

    An old one is never rewound: ext4, once asked at its end, finds nothing at the start of the same descriptor
    either when that was never read (`ext4_dx_readdir` resets only when the position differs from the last it read).
    """
    held, position = directory.listing, directory.position
    directory.listing = None
    if held is not None and offset and position == offset:
        return held
    fresh = Descriptor(fs.disk.open("readdir.open", b".", DIRECTORY_FLAGS, directory.descriptor.fd))
    if offset:
        fs.disk.lseek("readdir.seek", fresh.fd, offset, os.SEEK_SET)
    return fresh


def _pack(
    fs: FileSystem,
    request: Request,
    node: Node,
    directory: Directory,
    entries: bytearray,
    used: int,
    room: int,
    with_attributes: bool,
) -> tuple[int, bool, int]:
    """Turn kernel directory entries into FUSE ones; returns bytes added, whether the room is used up, last position."""
    start, at, last = used, 0, 0
    head = abi.ENTRY_BYTES if with_attributes else 0
    while at < len(entries):
        inode, position, length, kind = abi.LINUX_DIRENT64.unpack_from(entries, at)
        name = bytes(entries[at + NAME_AT : entries.index(0, at + NAME_AT)])
        at += length
        needed = codec.align8(head + abi.DIRENT.size + len(name))
        if used + needed > room:
            return used - start, True, last
        last = position
        if node is fs.nodes.root and name == HIDDEN_DIRECTORY:
            continue
        where = OUT + used
        request.out[where : where + needed] = bytes(needed)
        if with_attributes and name not in SELF_AND_PARENT:
            _pack_entry(fs, request, node, directory, name, where)
        where += head
        abi.DIRENT.pack_into(request.out, where, inode, position & 0xFFFFFFFFFFFFFFFF, len(name), kind)
        where += abi.DIRENT.size
        request.out[where : where + len(name)] = name
        used += needed
    return used - start, False, last


def _pack_entry(fs: FileSystem, request: Request, parent: Node, directory: Directory, name: bytes, where: int) -> None:
    """The attributes of one entry; left empty (the kernel will look it up) when it is just being removed."""
    try:
        status = fs.disk.stat("readdir.look", name, directory.descriptor.fd)
    except FileNotFoundError:
        return
    if stat.S_IFMT(status.st_mode) >> 12 == DIRECTORY_KIND and fs.nodes.key_of(status) != status.st_ino:
        return
    child = fs.nodes.remember(parent, name, status)
    valid = fs.validity_s
    abi.ENTRY_HEAD.pack_into(request.out, where, child.id, 0, valid, valid, 0, 0)
    codec.pack_attributes(request.out, where + abi.ENTRY_HEAD.size, status, fs.links(child, status))


def synchronise_directory(fs: FileSystem, request: Request) -> int:
    """FSYNCDIR."""
    _, flags, _ = abi.FSYNC_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    directory = fs.directory(node)
    data_only = bool(flags & abi.FSYNC_FDATASYNC)
    sequence = 0
    if fs.is_writable:
        with fs.order:
            path = fs.nodes.path(node)
            if path is not None:
                sequence = fs.record(Synchronise(tree=fs.tree, path=path, data_only=data_only, whole=False))
    fs.disk.fsync("fsync.directory", directory.descriptor.fd)
    fs.wait(sequence)
    return 0


def synchronise_all(fs: FileSystem, request: Request) -> int:
    """SYNCFS (the kernel sends it only to some kinds of FUSE mounts)."""
    sequence = 0
    if fs.is_writable:
        sequence = fs.record(Synchronise(tree=fs.tree, path=b"", data_only=False, whole=True))
    fs.disk.syncfs("syncfs", fs.root.fd)
    fs.wait(sequence)
    return 0


def statfs(fs: FileSystem, request: Request) -> int:
    """STATFS: the figures of the file system below."""
    found = fs.disk.statvfs("statfs", fs.root.fd)
    abi.STATFS_OUT.pack_into(
        request.out,
        OUT,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_bsize,
        found.f_namemax,
        found.f_frsize,
        0,
    )
    return abi.STATFS_OUT.size


def unsupported(fs: FileSystem, request: Request) -> int:
    """An operation that the kernel shall not ask for again."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
