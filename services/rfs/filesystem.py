"""The file system's shared state and the helpers that every handler uses.

The handlers themselves are functions `(file_system, request) -> length` in `handlers/`; `dispatch.py` joins them to
opcodes. A handler puts its answer into `request.out` and returns the payload's length, or NO_ANSWER; it raises
OSError for an errno. Rules of locking and order: `CONCURRENCY.md`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from dataclasses import dataclass

from services.rfs.core.operations import Operation, SetTimes
from services.rfs.disk import Disk
from services.rfs.fuse import abi, codec
from services.rfs.fuse.device import Request
from services.rfs.intents import Intent, Intents
from services.rfs.nodes import (
    DIRECTORY_KIND,
    HIDDEN_DIRECTORY,
    HIDDEN_PREFIX,
    Descriptor,
    Directory,
    Node,
    NodeTable,
    OpenFile,
)
from services.rfs.ports import Replication

NO_ANSWER = -1
OUT = abi.OUT_HEADER_BYTES
IN = abi.IN_HEADER_BYTES

LOCK_STRIPES = 64
"""Node locks are shared by id modulo this: far more than there are workers, so that two rarely meet by chance."""

_WORD = (1 << 64) - 1

RETRIES_MAX = 100
"""How often a name that moves away under us is looked for again before saying ESTALE."""

READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK
WRITE_FLAGS = os.O_RDWR | os.O_NONBLOCK
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY
DEFAULT_ACL = b"system.posix_acl_default"
ACCESS_ACL = b"system.posix_acl_access"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a tree is served."""

    tree: int
    write_back: bool = False
    """Let the kernel collect writes in its cache (see decision record 7 for when that pays)."""


class FileSystem:
    """One mounted tree."""

    def __init__(
        self,
        *,
        options: Options,
        root: Descriptor,
        nodes: NodeTable,
        intents: Intents,
        disk: Disk,
        replication: Replication,
    ) -> None:
        self.tree = options.tree
        self.options = options
        self.nodes = nodes
        self.disk = disk
        self.replication = replication
        self.order = replication.order
        self.root = root
        self.is_writable = False
        self.is_hiding = False
        self.session: codec.Session | None = None
        self.intents = intents
        self._position_at_start = replication.position
        self._locks = tuple(threading.RLock() for _ in range(LOCK_STRIPES))
        nodes.root.directory = Directory(root)

    # -- permission to change ---------------------------------------------------------------------------------

    def require_writable(self) -> None:
        """OSError(EROFS) unless this node may change the tree. Call it under the lock that covers the change."""
        if not (self.is_writable and self.replication.may_write()):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def set_writable(self, writable: bool) -> None:
        """Change the mode; when it returns, no change begun under the old mode is still under way."""
        self.is_writable = writable
        self.finish_changes()

    def finish_changes(self) -> None:
        """Return when every change that was begun before has been recorded; none of these locks may be held."""
        for lock in self._locks:
            with lock:
                pass
        with self.order:
            pass

    def lock(self, node: Node) -> threading.RLock:
        """The lock that covers a node's contents and attributes."""
        return self._locks[node.id % LOCK_STRIPES]

    # -- reaching files ---------------------------------------------------------------------------------------

    def directory(self, node: Node) -> Directory:
        """The open directory of a node; ancestors are opened as needed, never by path and never through links."""
        missing: list[Node] = []
        while node.directory is None:
            missing.append(node)
            node, _ = self.nodes.location(node)
        found = node.directory
        while missing and found is not None:
            node = missing.pop()
            found = self._open_directory(node, found)
        if found is None:
            raise OSError(errno.ESTALE, "directory went away")
        return found

    def _open_directory(self, node: Node, parent: Directory) -> Directory:
        if node.kind != DIRECTORY_KIND:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        _, name = self.nodes.location(node)
        opened = Descriptor(self.disk.open("open.directory", name, DIRECTORY_FLAGS, parent.descriptor.fd))
        if self.nodes.key_of(self.disk.fstat("open.directory.check", opened.fd)) != node.key:
            raise OSError(errno.ESTALE, "another directory has taken the name")
        return self.nodes.keep_directory(node, Directory(opened))

    def place(self, node: Node) -> tuple[Directory, bytes]:
        """The open directory and the name by which a node is reached now."""
        if node is self.nodes.root:
            return self.directory(node), b"."
        parent, name = self.nodes.location(node)
        return self.directory(parent), name

    def descriptor(self, node: Node, *, write: bool) -> Descriptor:
        """A descriptor of a regular file, opened when there is none (also after a worker was replaced)."""
        file = node.file or self.nodes.open_file(node)
        held = file.writer if write else file.reader or file.writer
        if held is not None:
            return held
        opened = self._open_file(node, WRITE_FLAGS if write else READ_FLAGS)
        if write:
            file.writer = opened
        else:
            file.reader = opened
        return opened

    def _open_file(self, node: Node, flags: int) -> Descriptor:
        for _ in range(RETRIES_MAX):
            location = self.nodes.location(node)
            directory = self.directory(location[0])
            try:
                opened = Descriptor(self.disk.open("open.file", location[1], flags, directory.descriptor.fd))
            except FileNotFoundError:
                if self.nodes.location(node) == location:
                    raise OSError(errno.ESTALE, "file is gone") from None
                continue
            if self.nodes.key_of(self.disk.fstat("open.check", opened.fd)) == node.key:
                return opened
            if self.nodes.location(node) == location:
                break
        raise OSError(errno.ESTALE, "another file has taken the name")

    def status(self, node: Node) -> os.stat_result:
        """The attributes of a node as they are on disk."""
        file = node.file
        if file is not None:
            held = file.writer or file.reader
            if held is not None:
                return self.disk.fstat("getattr", held.fd)
        if node.kind == DIRECTORY_KIND:
            return self.disk.fstat("getattr", self.directory(node).descriptor.fd)
        for _ in range(RETRIES_MAX):
            location = self.nodes.location(node)
            directory = self.directory(location[0])
            try:
                return self.disk.stat("getattr", location[1], directory.descriptor.fd)
            except FileNotFoundError:
                if self.nodes.location(node) == location:
                    break
        raise OSError(errno.ESTALE, "file is gone")

    # -- replication ------------------------------------------------------------------------------------------

    def before(self, *paths: bytes | None) -> None:
        """Note in the change journal what is about to change; None stands for what is not replicated."""
        noted = tuple((self.tree, path) for path in paths if path is not None)
        if noted:
            self.replication.before(noted)

    def before_data(self, node: Node, offset: int, length: int) -> None:
        """As `before`, for some bytes of a file."""
        path = self.nodes.path(node)
        if path is not None:
            self.replication.before_data(self.tree, path, offset, length)

    def before_attributes(self, node: Node) -> None:
        """As `before`, for a node's attributes only."""
        path = self.nodes.path(node)
        if path is not None:
            self.replication.before_attributes(self.tree, path)

    def record(self, operation: Operation) -> int:
        """Record one operation, taking `order` (which may be held already)."""
        with self.order:
            return self.replication.record(operation)

    def record_times(self, node: Node, fd: int) -> int:
        """Record the modification time as it is now; returns the sequence, 0 when the file is not replicated.

        The caller holds the node's lock, so no write comes between looking and recording.
        """
        mtime_ns = self.disk.fstat("times.look", fd).st_mtime_ns
        file = node.file
        if file is not None:
            file.is_dirty = False
        with self.order:
            path = self.nodes.path(node)
            if path is None:
                return 0
            return self.replication.record(SetTimes(tree=self.tree, path=path, mtime_ns=mtime_ns, atime_ns=-1))

    # -- requests that must not be carried out twice ----------------------------------------------------------

    def intend(self, request: Request, before: int) -> None:
        """Note what a request is about to change, as it is now; `order` is held until it is recorded."""
        self.intents.note(_number(request), Intent(before=before & _WORD, position=self.replication.position))

    def intended(self, request: Request) -> Intent | None:
        """What a killed predecessor noted for a request that the kernel sends again."""
        return self.intents.find(_number(request)) if request.is_resent else None

    def was_recorded(self, intent: Intent) -> bool:
        """Had the predecessor put the operation into the stream? Nothing else could, from noting to recording."""
        return self._position_at_start > intent.position

    def wait(self, sequence: int) -> None:
        """A barrier: come back when everything up to here is safe. No lock may be held."""
        if sequence:
            self.replication.wait(sequence)

    # -- answers ----------------------------------------------------------------------------------------------

    @property
    def validity_s(self) -> int:
        """How long the kernel may believe us: for ever while only we change the tree, else not at all."""
        return codec.FOREVER_S if self.is_writable else 0

    def answer_entry(self, request: Request, node: Node, status: os.stat_result) -> int:
        """Write a `struct fuse_entry_out`."""
        valid = self.validity_s
        abi.ENTRY_HEAD.pack_into(request.out, OUT, node.id, 0, valid, valid, 0, 0)
        codec.pack_attributes(request.out, OUT + abi.ENTRY_HEAD.size, status, self.links(node, status))
        return abi.ENTRY_BYTES

    def answer_attributes(self, request: Request, node: Node, status: os.stat_result) -> int:
        """Write a `struct fuse_attr_out`."""
        abi.ATTR_HEAD.pack_into(request.out, OUT, self.validity_s, 0, 0)
        codec.pack_attributes(request.out, OUT + abi.ATTR_HEAD.size, status, self.links(node, status))
        return abi.ATTR_HEAD.size + abi.ATTR.size

    @staticmethod
    def links(node: Node, status: os.stat_result) -> int:
        """The link count that applications see: a deleted file kept under a hidden name has none."""
        return 0 if node.is_hidden else status.st_nlink

    def open_flags(self, *, write: bool) -> int:
        """FOPEN flags: on a secondary nothing may be cached, because files change below the mount."""
        if not self.is_writable:
            return abi.FOPEN_DIRECT_IO
        if write or self.options.write_back:
            return abi.FOPEN_KEEP_CACHE
        return abi.FOPEN_KEEP_CACHE | abi.FOPEN_NOFLUSH

    # -- deleted but open files -------------------------------------------------------------------------------

    def may_be_open(self, node: Node) -> bool:
        """True unless we know that no application has the file open."""
        file = node.file
        return node.is_restored or (file is not None and file.readers + file.writers > 0)

    def keep_hidden(self, node: Node, directory: Directory, name: bytes) -> bytes | None:
        """Give a file that is about to lose its last name a hidden one; None when it keeps another name."""
        if not self.may_be_open(node) or node.kind == DIRECTORY_KIND:
            return None
        links = self.disk.stat("hide.look", name, directory.descriptor.fd).st_nlink
        made = self.find_hidden(node) if node.is_restored else None
        if made is not None:
            return made  # a predecessor was killed right after making it
        if links != 1:
            return None
        hidden = b"%s%d" % (HIDDEN_PREFIX, node.id)
        self._make_hidden_directory()
        self.disk.link("hide.link", name, directory.descriptor.fd, hidden, self.root.fd)
        return hidden

    def find_hidden(self, node: Node) -> bytes | None:
        """The hidden name that a killed predecessor gave a file, if it did."""
        hidden = b"%s%d" % (HIDDEN_PREFIX, node.id)
        try:
            self.disk.stat("hide.look", hidden, self.root.fd)
        except FileNotFoundError:
            return None
        return hidden

    def _make_hidden_directory(self) -> None:
        if self.is_hiding:
            return
        with KeptTimes(self.disk, self.root.fd):
            try:
                self.disk.mkdir("hide.mkdir", HIDDEN_DIRECTORY, 0o700, self.root.fd)
            except FileExistsError:
                pass
        self.is_hiding = True

    def remove_hidden(self, node: Node) -> None:
        """The kernel has let go of a deleted file."""
        try:
            self.disk.unlink("hide.unlink", b"%s%d" % (HIDDEN_PREFIX, node.id), self.root.fd)
        except FileNotFoundError:
            pass

    def remove_all_hidden(self) -> None:
        """Remove what earlier mounts kept hidden, and the directory for it; nothing may be mounted."""
        try:
            opened = Descriptor(self.disk.open("hide.open", HIDDEN_DIRECTORY, DIRECTORY_FLAGS, self.root.fd))
        except FileNotFoundError:
            return
        for name in self.disk.listdir("hide.list", opened.fd):
            self.disk.unlink("hide.unlink", name, opened.fd)
        with KeptTimes(self.disk, self.root.fd):
            self.disk.rmdir("hide.rmdir", HIDDEN_DIRECTORY, self.root.fd)
        self.is_hiding = False


class KeptTimes:
    """Puts a directory's times back after a change of ours that must not show (both replicas compare equal)."""

    def __init__(self, disk: Disk, fd: int) -> None:
        self._disk = disk
        self._fd = fd
        self._status = disk.fstat("hide.times", fd)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._disk.futime("hide.times", self._fd, self._status.st_atime_ns, self._status.st_mtime_ns)


def _number(request: Request) -> int:
    """The kernel's number of a request, the same when it is sent again."""
    return request.unique & ~abi.UNIQUE_RESEND


def killed_mode(mode: int) -> int:
    """A file's mode after a write by someone who may not keep set-id bits (mark of mandatory locking spared)."""
    if mode & stat.S_IXGRP:
        mode &= ~stat.S_ISGID
    return stat.S_IMODE(mode & ~stat.S_ISUID)


__all__ = ["IN", "NO_ANSWER", "OUT", "FileSystem", "KeptTimes", "OpenFile", "Options", "killed_mode"]
