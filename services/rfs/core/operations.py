"""Operations of the replication stream: what the primary did to a replicated tree, in order.

Every path is relative to the replicated directory `tree` (its index in the module's configuration), as raw bytes
without a leading slash; the directory itself is the empty path. An operation is applied idempotently: doing it
twice, or again after a crash in the middle, gives the same tree.

Times are nanoseconds since the Unix epoch. Where an operation changes a directory's own modification time as a side
effect, it carries that time as it stands on the primary (`parent_mtime_ns`), because the secondary must not invent
its own. Offsets and lengths are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One change; `tree` says in which replicated directory."""

    tree: int
    path: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Create(Operation):
    """A regular file came to be (empty), with its final owner and mode bits (`mode` without the type)."""

    mode: int
    uid: int
    gid: int
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeDirectory(Operation):
    mode: int
    uid: int
    gid: int
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeNode(Operation):
    """A fifo, socket or device; `mode` includes the file type bits."""

    mode: int
    device: int
    uid: int
    gid: int
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeSymlink(Operation):
    target: bytes
    uid: int
    gid: int
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeLink(Operation):
    """`path` became another name of the file at `source`."""

    source: bytes
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlink(Operation):
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveDirectory(Operation):
    parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rename(Operation):
    """`path` became `target`; `flags` as renameat2(2): 0, RENAME_NOREPLACE (1) or RENAME_EXCHANGE (2)."""

    target: bytes
    flags: int
    parent_mtime_ns: int
    target_parent_mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Write(Operation):
    """Bytes at an offset; never an append: the primary resolved the position."""

    offset: int
    data: bytes | memoryview


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncate(Operation):
    size: int


SHIFTING = 8 | 32
"""FALLOC_FL_COLLAPSE_RANGE and FALLOC_FL_INSERT_RANGE of linux/falloc.h."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocate(Operation):
    """fallocate(2) with its `mode` flags."""

    mode: int
    offset: int
    length: int

    @property
    def is_shift(self) -> bool:
        """Does everything behind the range change its place? Then it must not be done twice."""
        return bool(self.mode & SHIFTING)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetMode(Operation):
    mode: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetOwner(Operation):
    """chown(2); -1 leaves a value. `mode` is the mode after it, because chown clears set-id bits."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetTimes(Operation):
    """Modification (and access) time as they now are on the primary; -1 leaves the access time."""

    mtime_ns: int
    atime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAttribute(Operation):
    """An extended attribute (ACLs are `system.posix_acl_*`)."""

    name: bytes
    value: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveAttribute(Operation):
    name: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Synchronise(Operation):
    """fsync(2), fdatasync(2) or syncfs(2): with acknowledgement by disk, the secondary answers when it is on disk.

    `data_only` is fdatasync; `whole` asks for the whole file system (path is then empty).
    """

    data_only: bool
    whole: bool
