"""Every disk system call of rfs, each under the name of the step that makes it.

Both halves of rfs (file system and replication) reach the disk only through a `Disk`. A test passes a `FaultyDisk`
(see `faults.py`) that fails, or ends the process, at exactly one named step; in production the name costs one
argument. Names are `who.what`, for example `"write.data"` or `"apply.rename"`.

Names of files are relative to a directory descriptor (`dir_fd`) and final symbolic links are never followed.
Every method raises OSError as the system call does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from services.rfs import libc

Buffer = bytes | bytearray | memoryview


class Disk:
    """The system calls, one method each, the step's name first."""

    def open(self, step: str, name: bytes, flags: int, dir_fd: int | None = None, mode: int = 0o600) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=dir_fd)

    def close(self, step: str, fd: int) -> None:
        os.close(fd)

    def pread(self, step: str, fd: int, length: int, offset: int) -> bytes:
        return os.pread(fd, length, offset)

    def preadv(self, step: str, fd: int, buffers: Sequence[bytearray | memoryview], offset: int) -> int:
        return os.preadv(fd, buffers, offset)

    def pwrite(self, step: str, fd: int, data: Buffer, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def pwrite_all(self, step: str, fd: int, data: Buffer, offset: int) -> None:
        """Write everything, continuing after short writes."""
        written = os.pwrite(fd, data, offset)
        while written < len(data):
            written += os.pwrite(fd, memoryview(data)[written:], offset + written)

    def write(self, step: str, fd: int, data: Buffer) -> int:
        return os.write(fd, data)

    def start_write_out(self, step: str, fd: int, offset: int, length: int) -> None:
        """Begin to write a part of a file out; raises nothing, the next fsync tells."""
        libc.start_write_out(fd, offset, length)

    def ftruncate(self, step: str, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fallocate(self, step: str, fd: int, mode: int, offset: int, length: int) -> None:
        libc.fallocate(fd, mode, offset, length)

    def copy_file_range(
        self, step: str, source: int, target: int, length: int, source_offset: int, target_offset: int
    ) -> int:
        return os.copy_file_range(source, target, length, source_offset, target_offset)

    def lseek(self, step: str, fd: int, offset: int, whence: int) -> int:
        return os.lseek(fd, offset, whence)

    def fsync(self, step: str, fd: int) -> None:
        os.fsync(fd)

    def fdatasync(self, step: str, fd: int) -> None:
        os.fdatasync(fd)

    def syncfs(self, step: str, fd: int) -> None:
        libc.syncfs(fd)

    def mkdir(self, step: str, name: bytes, mode: int, dir_fd: int | None = None) -> None:
        os.mkdir(name, mode, dir_fd=dir_fd)

    def mknod(self, step: str, name: bytes, mode: int, device: int, dir_fd: int | None = None) -> None:
        os.mknod(name, mode, device, dir_fd=dir_fd)

    def symlink(self, step: str, target: bytes, name: bytes, dir_fd: int | None = None) -> None:
        os.symlink(target, name, dir_fd=dir_fd)

    def link(self, step: str, source: bytes, source_fd: int, name: bytes, dir_fd: int) -> None:
        os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)

    def unlink(self, step: str, name: bytes, dir_fd: int | None = None) -> None:
        os.unlink(name, dir_fd=dir_fd)

    def rmdir(self, step: str, name: bytes, dir_fd: int | None = None) -> None:
        os.rmdir(name, dir_fd=dir_fd)

    def rename(self, step: str, source: bytes, source_fd: int, target: bytes, target_fd: int, flags: int = 0) -> None:
        """renameat2(2) with its flags."""
        if flags:
            libc.renameat2(source, source_fd, target, target_fd, flags)
        else:
            os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)

    def replace_path(self, step: str, source: str, target: str) -> None:
        """Rename by whole path, for files of our own outside replicated trees."""
        os.replace(source, target)

    def stat(self, step: str, name: bytes, dir_fd: int | None = None) -> os.stat_result:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)

    def fstat(self, step: str, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def statvfs(self, step: str, fd: int) -> os.statvfs_result:
        return os.fstatvfs(fd)

    def readlink(self, step: str, name: bytes, dir_fd: int | None = None) -> bytes:
        return os.readlink(name, dir_fd=dir_fd)

    def chmod(self, step: str, name: bytes, mode: int, dir_fd: int | None = None) -> None:
        """Only for what is known not to be a symbolic link: chmod(2) follows them."""
        os.chmod(name, mode, dir_fd=dir_fd)

    def fchmod(self, step: str, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)

    def chown(self, step: str, name: bytes, uid: int, gid: int, dir_fd: int | None = None) -> None:
        os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)

    def fchown(self, step: str, fd: int, uid: int, gid: int) -> None:
        os.fchown(fd, uid, gid)

    def utime(self, step: str, name: bytes, atime_ns: int, mtime_ns: int, dir_fd: int | None = None) -> None:
        os.utime(name, ns=(atime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)

    def futime(self, step: str, fd: int, atime_ns: int, mtime_ns: int) -> None:
        os.utime(fd, ns=(atime_ns, mtime_ns))

    def getxattr(self, step: str, name: bytes, attribute: bytes, dir_fd: int) -> bytes:
        return os.getxattr(through(dir_fd, name), attribute, follow_symlinks=False)

    def setxattr(self, step: str, name: bytes, attribute: bytes, value: Buffer, flags: int, dir_fd: int) -> None:
        os.setxattr(through(dir_fd, name), attribute, value, flags, follow_symlinks=False)

    def removexattr(self, step: str, name: bytes, attribute: bytes, dir_fd: int) -> None:
        os.removexattr(through(dir_fd, name), attribute, follow_symlinks=False)

    def listxattr(self, step: str, name: bytes, dir_fd: int) -> list[bytes]:
        names = os.listxattr(through(dir_fd, name), follow_symlinks=False)
        return [os.fsencode(attribute) for attribute in names]

    def listdir(self, step: str, fd: int) -> list[bytes]:
        """Names in a directory given by a descriptor that is not O_PATH; its position is not disturbed."""
        return [os.fsencode(name) for name in os.listdir(fd)]

    def getdents(self, step: str, fd: int, buffer: bytearray) -> int:
        return libc.getdents64(fd, buffer)


def through(dir_fd: int, name: bytes) -> bytes:
    """A path to `name` in the directory of a descriptor, for calls that have no `at` form.

    The kernel resolves the magic link without walking the tree's own path, so a mount over it is not entered.
    """
    return b"/proc/self/fd/%d/%s" % (dir_fd, name or b".")
