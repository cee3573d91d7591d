"""Which handler answers which FUSE request."""

from __future__ import annotations

from collections.abc import Callable

from services.rfs.filesystem import NO_ANSWER, OUT, FileSystem
from services.rfs.fuse import abi, codec
from services.rfs.fuse.abi import Opcode
from services.rfs.fuse.device import Request
from services.rfs.handlers import attributes, directories, files, names

Handler = Callable[[FileSystem, Request], int]


def initialise(fs: FileSystem, request: Request) -> int:
    """INIT: agree on version and features."""
    major, minor, readahead, offered = codec.parse_init(request.data[abi.IN_HEADER_BYTES : request.length])
    if major != abi.KERNEL_VERSION:
        abi.INIT_OUT.pack_into(
            request.out, OUT, abi.KERNEL_VERSION, abi.KERNEL_MINOR_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        )
        return abi.INIT_OUT.size
    wanted = codec.wanted_flags(write_back=fs.options.write_back)
    session = codec.Session(minor=min(minor, abi.KERNEL_MINOR_VERSION), flags=wanted & offered)
    fs.session = session
    return codec.pack_init(request.out, OUT, session, readahead)


def ignore(fs: FileSystem, request: Request) -> int:
    """INTERRUPT (may be ignored: nothing of ours waits without an end) and the like; never answered."""
    return NO_ANSWER


def destroy(fs: FileSystem, request: Request) -> int:
    """DESTROY: the connection ends after this."""
    return 0


HANDLERS: dict[Opcode, Handler] = {
    Opcode.LOOKUP: names.lookup,
    Opcode.FORGET: names.forget,
    Opcode.GETATTR: attributes.getattr_,
    Opcode.SETATTR: attributes.setattr_,
    Opcode.READLINK: names.readlink,
    Opcode.SYMLINK: names.make_symlink,
    Opcode.MKNOD: names.make_node,
    Opcode.MKDIR: names.make_directory,
    Opcode.UNLINK: names.unlink,
    Opcode.RMDIR: names.remove_directory,
    Opcode.RENAME: names.rename,
    Opcode.LINK: names.make_link,
    Opcode.OPEN: files.open_file,
    Opcode.READ: files.read,
    Opcode.WRITE: files.write,
    Opcode.STATFS: directories.statfs,
    Opcode.RELEASE: files.release,
    Opcode.FSYNC: files.fsync,
    Opcode.SETXATTR: attributes.setxattr,
    Opcode.GETXATTR: attributes.getxattr,
    Opcode.LISTXATTR: attributes.listxattr,
    Opcode.REMOVEXATTR: attributes.removexattr,
    Opcode.FLUSH: files.flush,
    Opcode.INIT: initialise,
    Opcode.OPENDIR: directories.open_directory,
    Opcode.READDIR: directories.read_directory,
    Opcode.RELEASEDIR: directories.release_directory,
    Opcode.FSYNCDIR: directories.synchronise_directory,
    Opcode.CREATE: names.create,
    Opcode.INTERRUPT: ignore,
    Opcode.DESTROY: destroy,
    Opcode.IOCTL: files.ioctl,
    Opcode.NOTIFY_REPLY: ignore,
    Opcode.BATCH_FORGET: names.batch_forget,
    Opcode.FALLOCATE: files.fallocate,
    Opcode.READDIRPLUS: directories.read_directory_plus,
    Opcode.RENAME2: names.rename2,
    Opcode.LSEEK: files.lseek,
    Opcode.COPY_FILE_RANGE: files.copy_file_range,
    Opcode.SYNCFS: directories.synchronise_all,
}


def handler_table() -> list[Handler]:
    """The handlers by opcode; what is not there is answered with ENOSYS, and the kernel then does without.

    Left out on purpose: locks (the kernel keeps them), ACCESS (default_permissions), POLL, BMAP, TMPFILE (callers
    of O_TMPFILE fall back to a named file), DAX mappings, STATX.
    """
    table: list[Handler] = [directories.unsupported] * abi.OPCODE_LIMIT
    for opcode, handler in HANDLERS.items():
        table[opcode] = handler
    return table
