"""Attributes: GETATTR, SETATTR, extended attributes and ACLs."""

from __future__ import annotations

import errno
import os
import stat
import time

from services.rfs.core.operations import RemoveAttribute, SetAttribute, SetMode, SetOwner, SetTimes
from services.rfs.filesystem import DEFAULT_ACL, IN, OUT, FileSystem, killed_mode
from services.rfs.fuse import abi
from services.rfs.fuse.abi import Init
from services.rfs.fuse.device import Request
from services.rfs.handlers import files
from services.rfs.nodes import LINK_KIND, REGULAR_KIND, Descriptor, Node

SECOND_NS = 1_000_000_000
UNCHANGED = 0xFFFFFFFF
TRUSTED = b"trusted."


def getattr_(fs: FileSystem, request: Request) -> int:
    """GETATTR."""
    node = fs.nodes.get(request.node_id)
    return fs.answer_attributes(request, node, fs.status(node))


def setattr_(fs: FileSystem, request: Request) -> int:
    """SETATTR: owner before mode, because chown(2) clears set-id bits; size before times, because it sets them."""
    fields = abi.SETATTR_IN.unpack_from(request.data, IN)
    valid, size = fields[0], fields[3]
    node = fs.nodes.get(request.node_id)
    sequence = 0
    with fs.lock(node):
        fs.require_writable()
        fs.before_attributes(node)
        if valid & (abi.FATTR_UID | abi.FATTR_GID):
            uid = fields[13] if valid & abi.FATTR_UID else -1
            gid = fields[14] if valid & abi.FATTR_GID else -1
            sequence = _change_owner(fs, node, uid, gid) or sequence
        if valid & abi.FATTR_MODE:
            sequence = _change_mode(fs, node, stat.S_IMODE(fields[11])) or sequence
        elif valid & abi.FATTR_KILL_SUIDGID:
            sequence = _change_mode(fs, node, killed_mode(fs.status(node).st_mode)) or sequence
        if valid & abi.FATTR_SIZE:
            sequence = files.truncate(fs, node, _writer(fs, node), size) or sequence
        if valid & (abi.FATTR_ATIME | abi.FATTR_MTIME):
            sequence = _change_times(fs, node, valid, fields) or sequence
        status = fs.status(node)
    # A modification time alone is the kernel's write-back telling when data was written: like the data, it does
    # not wait by itself; the flush or fsync behind it does.
    if valid & ~(abi.FATTR_FH | abi.FATTR_LOCKOWNER) != abi.FATTR_MTIME | abi.FATTR_CTIME:
        fs.wait(sequence)
    return fs.answer_attributes(request, node, status)


def _writer(fs: FileSystem, node: Node) -> Descriptor:
    """A writable descriptor for truncate(2) by path, which leaves nothing open behind."""
    if node.kind != REGULAR_KIND:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    had_file = node.file is not None
    held = fs.descriptor(node, write=True)
    if not had_file:
        node.file = None
    return held


def _change_owner(fs: FileSystem, node: Node, uid: int, gid: int) -> int:
    directory, name = fs.place(node)
    fs.disk.chown("chown", name, uid, gid, directory.descriptor.fd)
    mode = stat.S_IMODE(fs.status(node).st_mode)
    with fs.order:
        path = fs.nodes.path(node)
        return 0 if path is None else fs.record(SetOwner(tree=fs.tree, path=path, uid=uid, gid=gid, mode=mode))


def _change_mode(fs: FileSystem, node: Node, mode: int) -> int:
    if node.kind == LINK_KIND:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    directory, name = fs.place(node)
    fs.disk.chmod("chmod", name, mode, directory.descriptor.fd)
    with fs.order:
        path = fs.nodes.path(node)
        return 0 if path is None else fs.record(SetMode(tree=fs.tree, path=path, mode=mode))


def _change_times(fs: FileSystem, node: Node, valid: int, fields: tuple[int, ...]) -> int:
    """utimensat(2); a time that was not given keeps its present value."""
    status = fs.status(node)
    atime_ns = _signed(fields[5]) * SECOND_NS + fields[8] if valid & abi.FATTR_ATIME else status.st_atime_ns
    mtime_ns = _signed(fields[6]) * SECOND_NS + fields[9] if valid & abi.FATTR_MTIME else status.st_mtime_ns
    if valid & (abi.FATTR_ATIME_NOW | abi.FATTR_MTIME_NOW):
        now_ns = time.time_ns()
        atime_ns = now_ns if valid & abi.FATTR_ATIME_NOW else atime_ns
        mtime_ns = now_ns if valid & abi.FATTR_MTIME_NOW else mtime_ns
    directory, name = fs.place(node)
    fs.disk.utime("utime", name, atime_ns, mtime_ns, directory.descriptor.fd)
    if node.file is not None and valid & abi.FATTR_MTIME:
        node.file.is_dirty = False
    # The file system below may store times more coarsely; the peer gets what was stored.
    stored = fs.status(node)
    with fs.order:
        path = fs.nodes.path(node)
        if path is None:
            return 0
        kept_atime_ns = stored.st_atime_ns if valid & abi.FATTR_ATIME else -1
        return fs.record(SetTimes(tree=fs.tree, path=path, mtime_ns=stored.st_mtime_ns, atime_ns=kept_atime_ns))


def _signed(seconds: int) -> int:
    """The kernel sends times before 1970 as 64-bit two's complement."""
    return seconds - (1 << 64) if seconds >> 63 else seconds


def getxattr(fs: FileSystem, request: Request) -> int:
    """GETXATTR; size 0 asks for the length only."""
    size, _ = abi.GETXATTR_IN.unpack_from(request.data, IN)
    directory, name = fs.place(fs.nodes.get(request.node_id))
    attribute = request.name(IN + abi.GETXATTR_IN.size)
    value = fs.disk.getxattr("getxattr", name, attribute, directory.descriptor.fd)
    return _answer_sized(request, value, size)


def listxattr(fs: FileSystem, request: Request) -> int:
    """LISTXATTR; `trusted.` names are for root only, as on any file system (xattr(7))."""
    size, _ = abi.GETXATTR_IN.unpack_from(request.data, IN)
    directory, name = fs.place(fs.nodes.get(request.node_id))
    names = fs.disk.listxattr("listxattr", name, directory.descriptor.fd)
    shown = (each for each in names if request.uid == 0 or not each.startswith(TRUSTED))
    return _answer_sized(request, b"".join(each + b"\0" for each in shown), size)


def _answer_sized(request: Request, value: bytes, size: int) -> int:
    if size == 0:
        abi.GETXATTR_OUT.pack_into(request.out, OUT, len(value), 0)
        return abi.GETXATTR_OUT.size
    if len(value) > size:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    request.out[OUT : OUT + len(value)] = value
    return len(value)


def setxattr(fs: FileSystem, request: Request) -> int:
    """SETXATTR, also for ACLs."""
    is_extended = fs.session is not None and fs.session.flags & Init.SETXATTR_EXT
    if is_extended:
        size, flags, extra, _ = abi.SETXATTR_IN.unpack_from(request.data, IN)
        at = IN + abi.SETXATTR_IN.size
    else:
        size, flags = abi.SETXATTR_IN_SHORT.unpack_from(request.data, IN)
        at, extra = IN + abi.SETXATTR_IN_SHORT.size, 0
    attribute = request.name(at)
    at += len(attribute) + 1
    value = bytes(request.data[at : at + size])
    node = fs.nodes.get(request.node_id)
    with fs.lock(node):
        fs.require_writable()
        fs.before_attributes(node)
        directory, name = fs.place(node)
        try:
            fs.disk.setxattr("setxattr", name, attribute, value, flags, directory.descriptor.fd)
        except FileExistsError:
            if not request.is_resent:
                raise
        forget_default_acl(node, attribute)
        sequence = 0
        with fs.order:
            path = fs.nodes.path(node)
            if path is not None:
                sequence = fs.record(SetAttribute(tree=fs.tree, path=path, name=attribute, value=value))
        if extra & abi.SETXATTR_ACL_KILL_SGID:
            mode = stat.S_IMODE(fs.status(node).st_mode)
            sequence = _change_mode(fs, node, mode & ~stat.S_ISGID) or sequence
    fs.wait(sequence)
    return 0


def removexattr(fs: FileSystem, request: Request) -> int:
    """REMOVEXATTR."""
    attribute = request.name(IN)
    node = fs.nodes.get(request.node_id)
    with fs.lock(node):
        fs.require_writable()
        fs.before_attributes(node)
        directory, name = fs.place(node)
        try:
            fs.disk.removexattr("removexattr", name, attribute, directory.descriptor.fd)
        except OSError as error:
            if not (request.is_resent and error.errno == errno.ENODATA):
                raise
        forget_default_acl(node, attribute)
        sequence = 0
        with fs.order:
            path = fs.nodes.path(node)
            if path is not None:
                sequence = fs.record(RemoveAttribute(tree=fs.tree, path=path, name=attribute))
    fs.wait(sequence)
    return 0


def forget_default_acl(node: Node, attribute: bytes) -> None:
    """Look again, at the next creation in it, whether a directory has a default ACL."""
    if attribute == DEFAULT_ACL and node.directory is not None:
        node.directory.has_default_acl = None
