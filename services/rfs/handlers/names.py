"""The namespace: look up, create, link, rename, remove.

Every change happens as one step under `order`: local system call, node table, record; then the answer waits for the
peer. A request that the kernel sends again after a worker was killed may have been carried out already: the kernel
holds the directory's lock while a request is pending, so nobody else can have made or removed the name in between,
and "exists" for a creation or "does not exist" for a removal then means done.
"""

from __future__ import annotations

import errno
import os
import stat

from services.rfs.core.operations import (
    Create,
    MakeDirectory,
    MakeLink,
    MakeNode,
    MakeSymlink,
    RemoveDirectory,
    Rename,
    SetAttribute,
    SetTimes,
    Unlink,
)
from services.rfs.filesystem import ACCESS_ACL, DEFAULT_ACL, IN, NO_ANSWER, OUT, WRITE_FLAGS, FileSystem
from services.rfs.fuse import abi, codec
from services.rfs.fuse.device import Request
from services.rfs.handlers import files
from services.rfs.libc import RENAME_EXCHANGE, RENAME_NOREPLACE
from services.rfs.nodes import DIRECTORY_KIND, HIDDEN_DIRECTORY, Descriptor, Directory, Node

SET_ID_BITS = stat.S_ISUID | stat.S_ISGID


def lookup(fs: FileSystem, request: Request) -> int:
    """LOOKUP; on a primary the absence of a name is cached too (an entry with node id 0)."""
    parent = fs.nodes.get(request.node_id)
    name = request.name(IN)
    directory = fs.directory(parent)
    try:
        if parent is fs.nodes.root and name == HIDDEN_DIRECTORY:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        status = fs.disk.stat("lookup", name, directory.descriptor.fd)
    except FileNotFoundError:
        if not fs.is_writable:
            raise
        abi.ENTRY_HEAD.pack_into(request.out, OUT, 0, 0, codec.FOREVER_S, 0, 0, 0)
        request.out[OUT + abi.ENTRY_HEAD.size : OUT + abi.ENTRY_BYTES] = bytes(abi.ATTR.size)
        return abi.ENTRY_BYTES
    return fs.answer_entry(request, remember(fs, parent, name, status), status)


def remember(fs: FileSystem, parent: Node, name: bytes, status: os.stat_result) -> Node:
    """The node of a name; OSError(EXDEV) for a mount point inside the tree, which replication does not cross."""
    if status.st_mode >> 12 == DIRECTORY_KIND and fs.nodes.key_of(status) != status.st_ino:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return fs.nodes.remember(parent, name, status)


def forget(fs: FileSystem, request: Request) -> int:
    """FORGET; never answered."""
    (count,) = abi.FORGET_IN.unpack_from(request.data, IN)
    _forget(fs, request.node_id, count)
    return NO_ANSWER


def batch_forget(fs: FileSystem, request: Request) -> int:
    """BATCH_FORGET; never answered."""
    count, _ = abi.BATCH_FORGET_IN.unpack_from(request.data, IN)
    at = IN + abi.BATCH_FORGET_IN.size
    for index in range(count):
        node_id, lookups = abi.FORGET_ONE.unpack_from(request.data, at + index * abi.FORGET_ONE.size)
        _forget(fs, node_id, lookups)
    return NO_ANSWER


def _forget(fs: FileSystem, node_id: int, count: int) -> None:
    gone = fs.nodes.forget(node_id, count)
    if gone is not None and gone.is_hidden:
        fs.remove_hidden(gone)


def readlink(fs: FileSystem, request: Request) -> int:
    """READLINK."""
    directory, name = fs.place(fs.nodes.get(request.node_id))
    target = fs.disk.readlink("readlink", name, directory.descriptor.fd)
    request.out[OUT : OUT + len(target)] = target
    return len(target)


# -- making -------------------------------------------------------------------------------------------------------


def create(fs: FileSystem, request: Request) -> int:
    """CREATE: make and open a regular file."""
    flags, mode, umask, open_flags = abi.CREATE_IN.unpack_from(request.data, IN)
    name = request.name(IN + abi.CREATE_IN.size)
    parent = fs.nodes.get(request.node_id)
    write = flags & os.O_ACCMODE != os.O_RDONLY
    with fs.order:
        fs.require_writable()
        directory, path = _prepare(fs, request, parent, name, umask)
        opened, is_new = _open_new(fs, directory, name, flags, mode, is_resent=request.is_resent)
        if is_new:
            status, above = _adopt(fs, request, directory, name, mode)
        else:
            status, above = fs.disk.fstat("create.look", opened.fd), None
        node = fs.nodes.remember(parent, name, status)
        file = fs.nodes.open_file(node)
        file.writer = file.writer or opened
        sequence = 0
        if above is not None:
            file.is_dirty = True
            if path is not None:
                sequence = fs.record(
                    Create(
                        tree=fs.tree,
                        path=path,
                        mode=stat.S_IMODE(status.st_mode),
                        uid=status.st_uid,
                        gid=status.st_gid,
                        parent_mtime_ns=above.st_mtime_ns,
                    )
                )
                sequence = _record_inherited(fs, directory, name, path, is_directory=False) or sequence
        files.count_open(fs, node, write=write)
    if not is_new and flags & os.O_TRUNC:
        with fs.lock(node):
            if open_flags & abi.OPEN_KILL_SUIDGID:
                files.kill_privileges(fs, node, opened)
            sequence = files.truncate(fs, node, opened, 0) or sequence
            status = fs.disk.fstat("create.look", opened.fd)
    fs.wait(sequence)
    length = fs.answer_entry(request, node, status)
    handle = files.HANDLE_WRITE if write else files.HANDLE_READ
    abi.OPEN_OUT.pack_into(request.out, OUT + length, handle, fs.open_flags(write=write), 0)
    return length + abi.OPEN_OUT.size


def _open_new(
    fs: FileSystem, directory: Directory, name: bytes, flags: int, mode: int, *, is_resent: bool
) -> tuple[Descriptor, bool]:
    """Open a new file, or the one that is there when the caller allows it; says which."""
    at = directory.descriptor.fd
    try:
        fd = fs.disk.open("create", name, WRITE_FLAGS | os.O_CREAT | os.O_EXCL, at, stat.S_IMODE(mode))
        return Descriptor(fd), True
    except FileExistsError:
        if flags & os.O_EXCL and not is_resent:
            raise
    return Descriptor(fs.disk.open("create.existing", name, WRITE_FLAGS, at)), is_resent


def make_directory(fs: FileSystem, request: Request) -> int:
    """MKDIR."""
    mode, umask = abi.MKDIR_IN.unpack_from(request.data, IN)
    name = request.name(IN + abi.MKDIR_IN.size)
    parent = fs.nodes.get(request.node_id)
    with fs.order:
        fs.require_writable()
        directory, path = _prepare(fs, request, parent, name, umask)
        with Repeatable(request, FileExistsError):
            fs.disk.mkdir("mkdir", name, stat.S_IMODE(mode), directory.descriptor.fd)
        status, above = _adopt(fs, request, directory, name, mode)
        node = fs.nodes.remember(parent, name, status)
        sequence = 0
        if path is not None:
            fs.record(
                MakeDirectory(
                    tree=fs.tree,
                    path=path,
                    mode=stat.S_IMODE(status.st_mode),
                    uid=status.st_uid,
                    gid=status.st_gid,
                    parent_mtime_ns=above.st_mtime_ns,
                )
            )
            _record_inherited(fs, directory, name, path, is_directory=True)
            sequence = _record_birth(fs, path, status)
    fs.wait(sequence)
    return fs.answer_entry(request, node, status)


def make_node(fs: FileSystem, request: Request) -> int:
    """MKNOD: fifo, socket, device, or a regular file that is not opened."""
    mode, device, umask, _ = abi.MKNOD_IN.unpack_from(request.data, IN)
    name = request.name(IN + abi.MKNOD_IN.size)
    parent = fs.nodes.get(request.node_id)
    with fs.order:
        fs.require_writable()
        directory, path = _prepare(fs, request, parent, name, umask)
        with Repeatable(request, FileExistsError):
            fs.disk.mknod("mknod", name, mode, codec.user_device(device), directory.descriptor.fd)
        status, above = _adopt(fs, request, directory, name, mode)
        node = fs.nodes.remember(parent, name, status)
        sequence = 0
        if path is not None:
            _record_node(fs, path, status, above)
            _record_inherited(fs, directory, name, path, is_directory=False)
            sequence = _record_birth(fs, path, status)
    fs.wait(sequence)
    return fs.answer_entry(request, node, status)


def _record_node(fs: FileSystem, path: bytes, status: os.stat_result, above: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        fs.record(
            Create(
                tree=fs.tree,
                path=path,
                mode=stat.S_IMODE(status.st_mode),
                uid=status.st_uid,
                gid=status.st_gid,
                parent_mtime_ns=above.st_mtime_ns,
            )
        )
        return
    fs.record(
        MakeNode(
            tree=fs.tree,
            path=path,
            mode=status.st_mode,
            device=status.st_rdev,
            uid=status.st_uid,
            gid=status.st_gid,
            parent_mtime_ns=above.st_mtime_ns,
        )
    )


def make_symlink(fs: FileSystem, request: Request) -> int:
    """SYMLINK."""
    name, target = request.two_names(IN)
    parent = fs.nodes.get(request.node_id)
    with fs.order:
        fs.require_writable()
        directory, path = _prepare(fs, request, parent, name, None)
        with Repeatable(request, FileExistsError):
            fs.disk.symlink("symlink", target, name, directory.descriptor.fd)
        status, above = _adopt(fs, request, directory, name, 0)
        node = fs.nodes.remember(parent, name, status)
        sequence = 0
        if path is not None:
            fs.record(
                MakeSymlink(
                    tree=fs.tree,
                    path=path,
                    target=target,
                    uid=status.st_uid,
                    gid=status.st_gid,
                    parent_mtime_ns=above.st_mtime_ns,
                )
            )
            sequence = _record_birth(fs, path, status)
    fs.wait(sequence)
    return fs.answer_entry(request, node, status)


def make_link(fs: FileSystem, request: Request) -> int:
    """LINK; both names must be replicated, or neither."""
    (source_id,) = abi.LINK_IN.unpack_from(request.data, IN)
    name = request.name(IN + abi.LINK_IN.size)
    parent, node = fs.nodes.get(request.node_id), fs.nodes.get(source_id)
    with fs.order:
        fs.require_writable()
        directory, path = _prepare(fs, request, parent, name, None)
        source = fs.nodes.path(node)
        if (source is None) != (path is None):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        source_directory, source_name = fs.place(node)
        with Repeatable(request, FileExistsError):
            fs.disk.link("link", source_name, source_directory.descriptor.fd, name, directory.descriptor.fd)
        fs.nodes.add_name(node, parent, name)
        fs.nodes.count_lookup(node)
        status = fs.disk.stat("link.look", name, directory.descriptor.fd)
        above = fs.disk.fstat("link.above", directory.descriptor.fd)
        sequence = 0
        if path is not None and source is not None:
            sequence = fs.record(MakeLink(tree=fs.tree, path=path, source=source, parent_mtime_ns=above.st_mtime_ns))
    fs.wait(sequence)
    return fs.answer_entry(request, node, status)


class Repeatable:
    """Swallows the error that says "done already" when the request is one that the kernel sends again."""

    def __init__(self, request: Request, done: type[OSError]) -> None:
        self._is_resent = request.is_resent
        self._done = done

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return self._is_resent and kind is not None and issubclass(kind, self._done)


class Undone:
    """Takes a hidden name off again when the removal that it was made for is refused: the file keeps its own."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._node: Node | None = None

    def hidden(self, node: Node, name: bytes | None) -> bytes | None:
        """Note that `node` was given this hidden name; returns the name."""
        self._node = node if name is not None else None
        return name

    def __enter__(self) -> Undone:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or self._node is None or issubclass(kind, FileNotFoundError):
            return
        if issubclass(kind, OSError):
            self._fs.remove_hidden(self._node)


def _prepare(
    fs: FileSystem, request: Request, parent: Node, name: bytes, umask: int | None
) -> tuple[Directory, bytes | None]:
    """Before a creation: the open directory, the replicated path (None: not replicated), the caller's umask set."""
    if parent is fs.nodes.root and name == HIDDEN_DIRECTORY:
        raise OSError(errno.EPERM, "the name is reserved")
    if umask is not None and umask != request.umask:
        os.umask(umask)  # each worker thread has its own, see worker.py
        request.umask = umask
    path = fs.nodes.child_path(parent, name)
    fs.before(path)
    return fs.directory(parent), path


def _adopt(
    fs: FileSystem, request: Request, directory: Directory, name: bytes, mode: int
) -> tuple[os.stat_result, os.stat_result]:
    """Give what root made to its real owner; returns its attributes and its directory's.

    In a set-group-id directory the kernel has given it the directory's group already. chown(2) clears set-id bits,
    so they are put back.
    """
    at = directory.descriptor.fd
    status = fs.disk.stat("adopt.look", name, at)
    above = fs.disk.fstat("adopt.above", at)
    gid = status.st_gid if above.st_mode & stat.S_ISGID else request.gid
    if status.st_uid == request.uid and status.st_gid == gid:
        return status, above
    fs.disk.chown("adopt.chown", name, request.uid, gid, at)
    lost = mode & SET_ID_BITS
    if lost and not stat.S_ISLNK(status.st_mode):
        fs.disk.chmod("adopt.chmod", name, stat.S_IMODE(status.st_mode) | lost, at)
    return fs.disk.stat("adopt.look", name, at), above


def _record_inherited(fs: FileSystem, directory: Directory, name: bytes, path: bytes, *, is_directory: bool) -> int:
    """Record the ACLs that a new file got from its directory's default ACL; 0 when there are none."""
    at = directory.descriptor.fd
    if directory.has_default_acl is None:
        directory.has_default_acl = _attribute(fs, b"", DEFAULT_ACL, at) is not None
    sequence = 0
    if directory.has_default_acl:
        for attribute in (ACCESS_ACL, DEFAULT_ACL) if is_directory else (ACCESS_ACL,):
            value = _attribute(fs, name, attribute, at)
            if value is not None:
                sequence = fs.record(SetAttribute(tree=fs.tree, path=path, name=attribute, value=value))
    return sequence


def _attribute(fs: FileSystem, name: bytes, attribute: bytes, at: int) -> bytes | None:
    try:
        return fs.disk.getxattr("inherit.look", name, attribute, at)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise


def _record_birth(fs: FileSystem, path: bytes, status: os.stat_result) -> int:
    """Record when something without contents of its own was made, for the peer's copy to say the same."""
    return fs.record(SetTimes(tree=fs.tree, path=path, mtime_ns=status.st_mtime_ns, atime_ns=-1))


# -- removing and renaming ----------------------------------------------------------------------------------------


def unlink(fs: FileSystem, request: Request) -> int:
    """UNLINK; an open file without another name lives on under a hidden one."""
    name = request.name(IN)
    parent = fs.nodes.get(request.node_id)
    with fs.order:
        fs.require_writable()
        path = fs.nodes.child_path(parent, name)
        fs.before(path)
        directory = fs.directory(parent)
        node = fs.nodes.child(parent, name)
        hidden: bytes | None = None
        with Repeatable(request, FileNotFoundError), Undone(fs) as undone:
            if node is not None:
                hidden = undone.hidden(node, fs.keep_hidden(node, directory, name))
            fs.disk.unlink("unlink", name, directory.descriptor.fd)
        _lose_name(fs, parent, name, hidden)
        sequence = 0
        if path is not None:
            above = fs.disk.fstat("unlink.above", directory.descriptor.fd)
            sequence = fs.record(Unlink(tree=fs.tree, path=path, parent_mtime_ns=above.st_mtime_ns))
    fs.wait(sequence)
    return 0


def _lose_name(fs: FileSystem, parent: Node, name: bytes, hidden: bytes | None) -> None:
    """Bring the node table up to date after a removal.

    When a predecessor was killed after the removal, the hidden name tells that it had made one.
    """
    node = fs.nodes.child(parent, name)
    if node is None:
        return
    if hidden is None and node.is_restored and node.kind != DIRECTORY_KIND:
        hidden = fs.find_hidden(node)
    if hidden is None:
        fs.nodes.drop_name(parent, name)
    else:
        fs.nodes.hide(node, hidden)


def remove_directory(fs: FileSystem, request: Request) -> int:
    """RMDIR."""
    name = request.name(IN)
    parent = fs.nodes.get(request.node_id)
    with fs.order:
        fs.require_writable()
        path = fs.nodes.child_path(parent, name)
        fs.before(path)
        directory = fs.directory(parent)
        with Repeatable(request, FileNotFoundError):
            fs.disk.rmdir("rmdir", name, directory.descriptor.fd)
        fs.nodes.drop_name(parent, name)
        sequence = 0
        if path is not None:
            above = fs.disk.fstat("rmdir.above", directory.descriptor.fd)
            sequence = fs.record(RemoveDirectory(tree=fs.tree, path=path, parent_mtime_ns=above.st_mtime_ns))
    fs.wait(sequence)
    return 0


def rename(fs: FileSystem, request: Request) -> int:
    """RENAME."""
    (target_id,) = abi.RENAME_IN.unpack_from(request.data, IN)
    return _rename(fs, request, target_id, 0, IN + abi.RENAME_IN.size)


def rename2(fs: FileSystem, request: Request) -> int:
    """RENAME2 with NOREPLACE or EXCHANGE; WHITEOUT is for union file systems and refused."""
    target_id, flags, _ = abi.RENAME2_IN.unpack_from(request.data, IN)
    if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return _rename(fs, request, target_id, flags, IN + abi.RENAME2_IN.size)


def _rename(fs: FileSystem, request: Request, target_id: int, flags: int, names_at: int) -> int:
    name, target_name = request.two_names(names_at)
    parent, target_parent = fs.nodes.get(request.node_id), fs.nodes.get(target_id)
    with fs.order:
        fs.require_writable()
        path, target_path = _paths(fs, parent, name, target_parent, target_name)
        fs.before(path, target_path)
        source, target = fs.directory(parent), fs.directory(target_parent)
        is_recorded = False
        if flags == RENAME_EXCHANGE:
            is_recorded = _exchange(fs, request, (parent, name), (target_parent, target_name))
        else:
            _replace(fs, request, (parent, name), (target_parent, target_name), flags)
        sequence = fs.replication.position if is_recorded else 0
        if path is not None and target_path is not None and not is_recorded:
            sequence = fs.record(
                Rename(
                    tree=fs.tree,
                    path=path,
                    target=target_path,
                    flags=flags,
                    parent_mtime_ns=fs.disk.fstat("rename.above", source.descriptor.fd).st_mtime_ns,
                    target_parent_mtime_ns=fs.disk.fstat("rename.above", target.descriptor.fd).st_mtime_ns,
                )
            )
    fs.wait(sequence)
    return 0


def _paths(
    fs: FileSystem, parent: Node, name: bytes, target_parent: Node, target_name: bytes
) -> tuple[bytes | None, bytes | None]:
    """Both replicated paths; OSError(EXDEV) when the rename would cross the border of what is replicated.

    Callers of rename(2) answer EXDEV by copying and removing, which replicates (or stops replicating) the contents.
    """
    if target_parent is fs.nodes.root and target_name == HIDDEN_DIRECTORY:
        raise OSError(errno.EPERM, "the name is reserved")
    path = fs.nodes.child_path(parent, name)
    target_path = fs.nodes.child_path(target_parent, target_name)
    if (path is None) != (target_path is None):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return path, target_path


def _replace(
    fs: FileSystem, request: Request, source: tuple[Node, bytes], target: tuple[Node, bytes], flags: int
) -> None:
    """Rename, keeping an open file that is replaced alive; and bring the node table up to date."""
    if request.is_resent and _is_missing(fs, source):
        _finish_replacing(fs, source, target)
        return
    into = fs.directory(target[0])
    victim = fs.nodes.child(*target) if not flags else None
    moved = fs.nodes.child(*source)
    hidden: bytes | None = None
    with Undone(fs) as undone:
        if victim is not None and victim is not moved:
            hidden = undone.hidden(victim, fs.keep_hidden(victim, into, target[1]))
        source_fd = fs.directory(source[0]).descriptor.fd
        fs.disk.rename("rename", source[1], source_fd, target[1], into.descriptor.fd, flags)
    if victim is not None and hidden is not None:
        fs.nodes.hide(victim, hidden)
    fs.nodes.move(*source, *target)


def _finish_replacing(fs: FileSystem, source: tuple[Node, bytes], target: tuple[Node, bytes]) -> None:
    """A killed predecessor has renamed; the node table may or may not say so already.

    FileNotFoundError when the target is missing as well: then nobody has renamed anything.
    """
    now = fs.disk.stat("rename.look", target[1], fs.directory(target[0]).descriptor.fd)
    moved, known = fs.nodes.child(*source), fs.nodes.child(*target)
    if known is not None and fs.nodes.key_of(now) != known.key:
        hidden = fs.find_hidden(known) if known.kind != DIRECTORY_KIND else None
        if hidden is None:
            fs.nodes.drop_name(*target)
        else:
            fs.nodes.hide(known, hidden)
    if moved is not None:
        fs.nodes.move(*source, *target)


def _is_missing(fs: FileSystem, place: tuple[Node, bytes]) -> bool:
    try:
        fs.disk.stat("rename.look", place[1], fs.directory(place[0]).descriptor.fd)
    except FileNotFoundError:
        return True
    return False


def _exchange(fs: FileSystem, request: Request, source: tuple[Node, bytes], target: tuple[Node, bytes]) -> bool:
    """Let two names change places, once; True when a killed predecessor has done and recorded it already."""
    source_fd = fs.directory(source[0]).descriptor.fd
    target_fd = fs.directory(target[0]).descriptor.fd
    now = fs.nodes.key_of(fs.disk.stat("exchange.look", source[1], source_fd))
    intent = fs.intended(request)
    if intent is None or now == intent.before:
        fs.intend(request, now)
        fs.disk.rename("exchange", source[1], source_fd, target[1], target_fd, RENAME_EXCHANGE)
    known = fs.nodes.child(*source)
    if intent is None or (known is not None and known.key == intent.before):
        fs.nodes.exchange(*source, *target)
    return intent is not None and now != intent.before and fs.was_recorded(intent)
