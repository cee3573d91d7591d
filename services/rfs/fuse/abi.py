"""The kernel's FUSE interface: numbers and structures of `include/uapi/linux/fuse.h`, protocol 7.45.

Names are those of the header without their prefix where an enum carries it. Structures are `struct.Struct` objects
in native byte order, as the kernel writes them; the comment above each lists its fields in order.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

KERNEL_VERSION = 7
KERNEL_MINOR_VERSION = 41  # the newest minor of which we use something (max_stack_depth, resend)
ROOT_ID = 1
UNIQUE_RESEND = 1 << 63  # set in `unique` of a request that the kernel sends again


class Opcode(IntEnum):
    """enum fuse_opcode."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52
    COPY_FILE_RANGE_64 = 53


OPCODE_LIMIT = 64  # table size; opcodes from here on are answered with ENOSYS


class Init(IntFlag):
    """INIT flags; from bit 32 on they travel in `flags2` and need INIT_EXT."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    EXPLICIT_INVAL_DATA = 1 << 25
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    HAS_EXPIRE_ONLY = 1 << 35
    DIRECT_IO_ALLOW_MMAP = 1 << 36
    PASSTHROUGH = 1 << 37
    HAS_RESEND = 1 << 39


class Notify(IntEnum):
    """enum fuse_notify_code, those that we send."""

    INVAL_INODE = 2
    INVAL_ENTRY = 3
    RESEND = 7


# FOPEN_*: flags in the answer to OPEN, OPENDIR and CREATE.
FOPEN_DIRECT_IO = 1 << 0
FOPEN_KEEP_CACHE = 1 << 1
FOPEN_CACHE_DIR = 1 << 3
FOPEN_NOFLUSH = 1 << 5

# FATTR_*: which fields of SETATTR are valid.
FATTR_MODE = 1 << 0
FATTR_UID = 1 << 1
FATTR_GID = 1 << 2
FATTR_SIZE = 1 << 3
FATTR_ATIME = 1 << 4
FATTR_MTIME = 1 << 5
FATTR_FH = 1 << 6
FATTR_ATIME_NOW = 1 << 7
FATTR_MTIME_NOW = 1 << 8
FATTR_LOCKOWNER = 1 << 9
FATTR_CTIME = 1 << 10
FATTR_KILL_SUIDGID = 1 << 11

GETATTR_FH = 1 << 0  # FUSE_GETATTR_FH
FSYNC_FDATASYNC = 1 << 0  # FUSE_FSYNC_FDATASYNC
WRITE_KILL_SUIDGID = 1 << 2  # FUSE_WRITE_KILL_SUIDGID
OPEN_KILL_SUIDGID = 1 << 0  # FUSE_OPEN_KILL_SUIDGID
SETXATTR_ACL_KILL_SGID = 1 << 0  # FUSE_SETXATTR_ACL_KILL_SGID

# Headers.
# struct fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding
IN_HEADER = Struct("=IIQQIIIHH")
# struct fuse_out_header: len, error, unique
OUT_HEADER = Struct("=IiQ")

# Requests.
# fuse_init_in: major, minor, max_readahead, flags, flags2 (the reserved words after it are not read)
INIT_IN = Struct("=IIIII")
INIT_IN_SHORT = Struct("=IIII")  # before INIT_EXT
FORGET_IN = Struct("=Q")  # nlookup
FORGET_ONE = Struct("=QQ")  # nodeid, nlookup
BATCH_FORGET_IN = Struct("=II")  # count, dummy
GETATTR_IN = Struct("=IIQ")  # getattr_flags, dummy, fh
# fuse_setattr_in: valid, padding, fh, size, lock_owner, atime, mtime, ctime, atimensec, mtimensec, ctimensec, mode,
# unused4, uid, gid, unused5
SETATTR_IN = Struct("=IIQQQQQQIIIIIIII")
MKNOD_IN = Struct("=IIII")  # mode, rdev, umask, padding
MKDIR_IN = Struct("=II")  # mode, umask
RENAME_IN = Struct("=Q")  # newdir
RENAME2_IN = Struct("=QII")  # newdir, flags, padding
LINK_IN = Struct("=Q")  # oldnodeid
OPEN_IN = Struct("=II")  # flags, open_flags
CREATE_IN = Struct("=IIII")  # flags, mode, umask, open_flags
RELEASE_IN = Struct("=QIIQ")  # fh, flags, release_flags, lock_owner
FLUSH_IN = Struct("=QIIQ")  # fh, unused, padding, lock_owner
READ_IN = Struct("=QQIIQII")  # fh, offset, size, read_flags, lock_owner, flags, padding
WRITE_IN = Struct("=QQIIQII")  # fh, offset, size, write_flags, lock_owner, flags, padding
FSYNC_IN = Struct("=QII")  # fh, fsync_flags, padding
SETXATTR_IN = Struct("=IIII")  # size, flags, setxattr_flags, padding (with SETXATTR_EXT)
SETXATTR_IN_SHORT = Struct("=II")  # size, flags (FUSE_COMPAT_SETXATTR_IN_SIZE)
GETXATTR_IN = Struct("=II")  # size, padding
FALLOCATE_IN = Struct("=QQQII")  # fh, offset, length, mode, padding
LSEEK_IN = Struct("=QQII")  # fh, offset, whence, padding
COPY_FILE_RANGE_IN = Struct("=QQQQQQQ")  # fh_in, off_in, nodeid_out, fh_out, off_out, len, flags

# Answers.
# fuse_attr: ino, size, blocks, atime, mtime, ctime, atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev,
# blksize, flags
ATTR = Struct("=QQQQQQIIIIIIIIII")
ENTRY_HEAD = Struct("=QQQQII")  # nodeid, generation, entry_valid, attr_valid, entry_valid_nsec, attr_valid_nsec
ATTR_HEAD = Struct("=QII")  # attr_valid, attr_valid_nsec, dummy
OPEN_OUT = Struct("=QIi")  # fh, open_flags, backing_id
WRITE_OUT = Struct("=II")  # size, padding
# fuse_kstatfs: blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding, spare[6]
STATFS_OUT = Struct("=QQQQQIIII24x")
GETXATTR_OUT = Struct("=II")  # size, padding
# fuse_init_out: major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran,
# max_pages, map_alignment, flags2, max_stack_depth, unused
INIT_OUT = Struct("=IIIIHHIIHHII24x")
LSEEK_OUT = Struct("=Q")  # offset
DIRENT = Struct("=QQII")  # ino, off, namelen, type

# Notifications.
INVAL_INODE_OUT = Struct("=Qqq")  # ino, off, len
INVAL_ENTRY_OUT = Struct("=QII")  # parent, namelen, flags

# struct linux_dirent64 of getdents64(2): d_ino, d_off, d_reclen, d_type; the name follows
LINUX_DIRENT64 = Struct("=QqHB")

IN_HEADER_BYTES = IN_HEADER.size
OUT_HEADER_BYTES = OUT_HEADER.size
ENTRY_BYTES = ENTRY_HEAD.size + ATTR.size
assert (IN_HEADER_BYTES, OUT_HEADER_BYTES, ENTRY_BYTES, INIT_OUT.size) == (40, 16, 128, 64)
assert (SETATTR_IN.size, WRITE_IN.size, STATFS_OUT.size, OPEN_OUT.size) == (88, 40, 80, 16)
