"""Open, read, write, allocate, flush, synchronise, release: what works on the contents of regular files."""

from __future__ import annotations

import errno
import os
import stat

from services.rfs.core.limits import WRITE_OUT_BYTES
from services.rfs.core.operations import SHIFTING, Allocate, SetMode, Synchronise, Truncate, Write
from services.rfs.filesystem import IN, OUT, FileSystem, killed_mode
from services.rfs.fuse import abi, codec
from services.rfs.fuse.device import Request
from services.rfs.nodes import Descriptor, Node

HANDLE_READ = 0
HANDLE_WRITE = 1
"""A file handle says only whether it may write: the node id comes with every request, so a new worker can open
what it needs from the two."""

COPY_BYTES_MAX = 4 << 20
"""Copied by one COPY_FILE_RANGE; the caller asks again for the rest. Bounds how long other writers wait."""

DATA_AT = IN + abi.WRITE_IN.size
SYNCHRONOUS = os.O_DSYNC | os.O_SYNC


def open_file(fs: FileSystem, request: Request) -> int:
    """OPEN, with O_TRUNC done here (ATOMIC_O_TRUNC)."""
    flags, open_flags = abi.OPEN_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    write = flags & os.O_ACCMODE != os.O_RDONLY
    sequence = 0
    with fs.lock(node):
        if write or flags & os.O_TRUNC:
            fs.require_writable()
        opened = fs.descriptor(node, write=write or bool(flags & os.O_TRUNC))
        if flags & os.O_TRUNC:
            if open_flags & abi.OPEN_KILL_SUIDGID:
                kill_privileges(fs, node, opened)
            sequence = truncate(fs, node, opened, 0)
        count_open(fs, node, write=write)
    fs.wait(sequence)
    handle = HANDLE_WRITE if write else HANDLE_READ
    abi.OPEN_OUT.pack_into(request.out, OUT, handle, fs.open_flags(write=write), 0)
    return abi.OPEN_OUT.size


def count_open(fs: FileSystem, node: Node, *, write: bool) -> None:
    """One opener more; under the node's lock."""
    file = fs.nodes.open_file(node)
    if write:
        file.writers += 1
    else:
        file.readers += 1


def read(fs: FileSystem, request: Request) -> int:
    """READ straight into the answer's buffer."""
    _, offset, size, _, _, _, _ = abi.READ_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    held = fs.descriptor(node, write=False)
    size = min(size, codec.REQUEST_BYTES_MAX)
    return fs.disk.preadv("read.data", held.fd, (request.out[OUT : OUT + size],), offset)


def write(fs: FileSystem, request: Request) -> int:
    """WRITE: locally first, then into the stream; waits only when the file is open with O_SYNC or O_DSYNC."""
    _, offset, size, write_flags, _, flags, _ = abi.WRITE_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    with fs.lock(node):
        fs.require_writable()
        held = fs.descriptor(node, write=True)
        if write_flags & abi.WRITE_KILL_SUIDGID:
            kill_privileges(fs, node, held)
        data = request.data[DATA_AT : DATA_AT + size]
        path = fs.nodes.path(node)
        if path is not None:
            fs.replication.before_data(fs.tree, path, offset, size)
        written = fs.disk.pwrite("write.data", held.fd, data, offset)
        record_data(fs, node, offset, data[:written])
    if written >= WRITE_OUT_BYTES:
        request.later = lambda: fs.disk.start_write_out("write.out", held.fd, offset, written)
    if flags & SYNCHRONOUS:
        synchronise(fs, node, data_only=not flags & os.O_SYNC & ~os.O_DSYNC, write=True)
    abi.WRITE_OUT.pack_into(request.out, OUT, written, 0)
    return abi.WRITE_OUT.size


def record_data(fs: FileSystem, node: Node, offset: int, data: bytes | memoryview) -> None:
    """Record written bytes; under the node's lock."""
    with fs.order:
        path = fs.nodes.path(node)
        if path is None:
            return
        sequence = fs.replication.record(Write(tree=fs.tree, path=path, offset=offset, data=data))
    file = node.file
    if file is not None:
        file.sequence = sequence
        file.is_dirty = True


def kill_privileges(fs: FileSystem, node: Node, held: Descriptor) -> None:
    """Clear set-id bits as the kernel asks; the file capability goes by itself with the change. Under the lock."""
    mode = fs.disk.fstat("killpriv.look", held.fd).st_mode
    killed = killed_mode(mode)
    if killed == stat.S_IMODE(mode):
        return
    fs.before_attributes(node)
    fs.disk.fchmod("killpriv", held.fd, killed)
    with fs.order:
        path = fs.nodes.path(node)
        if path is not None:
            fs.record(SetMode(tree=fs.tree, path=path, mode=killed))


def truncate(fs: FileSystem, node: Node, held: Descriptor, size: int) -> int:
    """Set the size and record it with the new modification time; under the node's lock."""
    fs.before(fs.nodes.path(node))
    fs.disk.ftruncate("truncate", held.fd, size)
    with fs.order:
        path = fs.nodes.path(node)
        if path is None:
            return 0
        fs.record(Truncate(tree=fs.tree, path=path, size=size))
        return fs.record_times(node, held.fd)


def flush(fs: FileSystem, request: Request) -> int:
    """FLUSH at each close(2): what was written through it is safe before close returns."""
    handle, _, _, _ = abi.FLUSH_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    if handle == HANDLE_WRITE:
        fs.wait(settle(fs, node))
    return 0


def settle(fs: FileSystem, node: Node) -> int:
    """Record the times of written data; returns the sequence to wait for, 0 when nothing is owed."""
    file = node.file
    if not fs.is_writable:
        return 0
    if file is not None and not file.is_dirty:
        return file.sequence
    if file is None and not node.is_restored:
        return 0
    with fs.lock(node):
        held = fs.descriptor(node, write=True)
        return fs.record_times(node, held.fd)


def release(fs: FileSystem, request: Request) -> int:
    """RELEASE: one opener less; the last one closes our descriptor."""
    handle, _, _, _ = abi.RELEASE_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    with fs.lock(node):
        file = node.file
        if file is None:
            return 0
        if file.is_dirty and file.writer is not None and fs.is_writable:
            fs.record_times(node, file.writer.fd)
        if handle == HANDLE_WRITE:
            file.writers -= 1
        else:
            file.readers -= 1
        if file.writers <= 0:
            file.writer, file.writers = None, 0
        if file.readers <= 0:
            file.reader, file.readers = None, 0
        if not file.writers and not file.readers:
            node.file = None
    return 0


def fsync(fs: FileSystem, request: Request) -> int:
    """FSYNC: the peer is told first and works while we write out our own copy; then wait for it."""
    handle, flags, _ = abi.FSYNC_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    synchronise(fs, node, data_only=bool(flags & abi.FSYNC_FDATASYNC), write=handle == HANDLE_WRITE)
    return 0


def synchronise(fs: FileSystem, node: Node, *, data_only: bool, write: bool) -> None:
    """A barrier for one file on both nodes."""
    held = fs.descriptor(node, write=write)
    sequence = 0
    if fs.is_writable:
        with fs.lock(node):
            file = node.file
            # fdatasync(2) promises no times; those are recorded at the latest when the file is closed.
            if file is not None and file.is_dirty and not data_only:
                fs.record_times(node, held.fd)
            with fs.order:
                path = fs.nodes.path(node)
                if path is not None:
                    sequence = fs.replication.record(
                        Synchronise(tree=fs.tree, path=path, data_only=data_only, whole=False)
                    )
    if data_only:
        fs.disk.fdatasync("fsync.data", held.fd)
    else:
        fs.disk.fsync("fsync.file", held.fd)
    fs.wait(sequence)


def fallocate(fs: FileSystem, request: Request) -> int:
    """FALLOCATE, with whatever modes the file system below supports."""
    _, offset, length, mode, _ = abi.FALLOCATE_IN.unpack_from(request.data, IN)
    node = fs.nodes.get(request.node_id)
    with fs.lock(node):
        fs.require_writable()
        held = fs.descriptor(node, write=True)
        if mode & SHIFTING:
            sequence = _shift(fs, request, node, mode, offset, length)
        else:
            fs.before_data(node, offset, length)
            fs.disk.fallocate("fallocate", held.fd, mode, offset, length)
            sequence = _record_allocation(fs, node, mode, offset, length)
    fs.wait(sequence)
    return 0


def _shift(fs: FileSystem, request: Request, node: Node, mode: int, offset: int, length: int) -> int:
    """Cut a piece out of a file or move its end away, once; what follows the piece changes its place."""
    held = fs.descriptor(node, write=True)
    with fs.order:
        fs.before(fs.nodes.path(node))
        size = fs.disk.fstat("shift.look", held.fd).st_size
        intent = fs.intended(request)
        is_done = intent is not None and intent.before != size
        if not is_done:
            fs.intend(request, size)
            fs.disk.fallocate("fallocate", held.fd, mode, offset, length)
        if is_done and intent is not None and fs.was_recorded(intent):
            return fs.record_times(node, held.fd)
        return _record_allocation(fs, node, mode, offset, length)


def _record_allocation(fs: FileSystem, node: Node, mode: int, offset: int, length: int) -> int:
    with fs.order:
        path = fs.nodes.path(node)
        if path is None:
            return 0
        fs.record(Allocate(tree=fs.tree, path=path, mode=mode, offset=offset, length=length))
        return fs.record_times(node, fs.descriptor(node, write=True).fd)


def lseek(fs: FileSystem, request: Request) -> int:
    """LSEEK: only SEEK_DATA and SEEK_HOLE come here."""
    _, offset, whence, _ = abi.LSEEK_IN.unpack_from(request.data, IN)
    if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    held = fs.descriptor(fs.nodes.get(request.node_id), write=False)
    abi.LSEEK_OUT.pack_into(request.out, OUT, fs.disk.lseek("lseek", held.fd, offset, whence))
    return abi.LSEEK_OUT.size


def copy_file_range(fs: FileSystem, request: Request) -> int:
    """COPY_FILE_RANGE: copied (or shared) below, then recorded as the bytes that stand in the target."""
    _, source_at, target_id, _, target_at, length, _ = abi.COPY_FILE_RANGE_IN.unpack_from(request.data, IN)
    source, target = fs.nodes.get(request.node_id), fs.nodes.get(target_id)
    length = min(length, COPY_BYTES_MAX)
    with fs.lock(target):
        fs.require_writable()
        reader = fs.descriptor(source, write=False)
        writer = fs.descriptor(target, write=True)
        fs.before_data(target, target_at, length)
        copied = fs.disk.copy_file_range("copy", reader.fd, writer.fd, length, source_at, target_at)
        at = 0
        while at < copied:
            size = min(codec.REQUEST_BYTES_MAX, copied - at)
            data = fs.disk.pread("copy.look", writer.fd, size, target_at + at)
            record_data(fs, target, target_at + at, data)
            at += len(data)
    abi.WRITE_OUT.pack_into(request.out, OUT, copied, 0)
    return abi.WRITE_OUT.size


def ioctl(fs: FileSystem, request: Request) -> int:
    """IOCTL: a replicated directory has none of its own, and flags set behind replication would differ."""
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
