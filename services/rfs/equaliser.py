"""The secondary's part of a resync, as operations in the stream: make a path as on the primary, or remove it."""

from __future__ import annotations

import os
import shutil
import stat

from services.rfs import beneath
from services.rfs.beneath import Beneath
from services.rfs.core.markers import Equalise, Remove
from services.rfs.quarantine import Quarantine, copy_sparsely

_TEMPORARY = b".holdfast-equalise"
"""A name used for an instant in a directory of the secondary's copy; replaced or removed before the operation ends."""


def equalise(tree: Beneath, item: Equalise, quarantine: Quarantine | None) -> None:
    """Give `item.path` its type, attributes and size. Doing it twice gives the same; raises OSError."""
    parent_fd, name = tree.place(item.path)
    found = _stat(parent_fd, name)
    if found is not None and item.keep and quarantine is not None and not stat.S_ISDIR(found.st_mode):
        quarantine.keep(item.tree, item.path, parent_fd, name)
    if found is not None and not _is_same_kind(found, item, parent_fd, name):
        _remove(tree, item.tree, item.path, quarantine)
        found = None
    parent_fd, name = tree.place(item.path)
    if item.link_to:
        _link(tree, item, found)
        parent_fd, name = tree.place(item.path)
    elif stat.S_ISREG(item.mode):
        _regular(tree, item, parent_fd, name, found)
    elif found is None:
        _make(item, parent_fd, name)
    _attributes(item, *tree.place(item.path))


def remove(tree: Beneath, item: Remove, quarantine: Quarantine | None) -> None:
    """Remove whatever is at `item.path`, keeping it in quarantine first when there is one."""
    try:
        _remove(tree, item.tree, item.path, quarantine)
    except (FileNotFoundError, NotADirectoryError):
        return  # Nothing is there, or a parent is no directory: equal already.


def _remove(tree: Beneath, index: int, path: bytes, quarantine: Quarantine | None) -> None:
    tree.forget(path)
    parent_fd, name = tree.place(path)
    if quarantine is not None:
        quarantine.keep(index, path, parent_fd, name)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
        shutil.rmtree(os.fsdecode(name), dir_fd=parent_fd)
    else:
        os.unlink(name, dir_fd=parent_fd)


def _stat(parent_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_same_kind(found: os.stat_result, item: Equalise, parent_fd: int, name: bytes) -> bool:
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(item.mode):
        return False
    if stat.S_ISLNK(item.mode):
        return os.readlink(name, dir_fd=parent_fd) == item.target
    if stat.S_ISBLK(item.mode) or stat.S_ISCHR(item.mode):
        return found.st_rdev == item.device
    return True


def _make(item: Equalise, parent_fd: int, name: bytes) -> None:
    """Make what is no regular file; owner and mode follow."""
    match stat.S_IFMT(item.mode):
        case stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        case stat.S_IFLNK:
            os.symlink(item.target, name, dir_fd=parent_fd)
        case _:
            os.mknod(name, stat.S_IFMT(item.mode) | 0o600, item.device, dir_fd=parent_fd)


def _regular(tree: Beneath, item: Equalise, parent_fd: int, name: bytes, found: os.stat_result | None) -> None:
    if found is None:
        fd = os.open(name, beneath.FILE_FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent_fd)
        tree.keep(item.path, fd)
    elif item.single and found.st_nlink > 1:
        tree.forget_file(item.path)
        _separate(parent_fd, name, found)
    fd = tree.file(item.path)
    if os.fstat(fd).st_size != item.size:
        os.ftruncate(fd, item.size)


def _separate(parent_fd: int, name: bytes, found: os.stat_result) -> None:
    """Give `name` a file of its own with the same contents, where it shared one with other names."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        copy = os.open(_TEMPORARY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=parent_fd)
        try:
            copy_sparsely(source, copy, found.st_size)
        finally:
            os.close(copy)
        os.rename(_TEMPORARY, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
    finally:
        os.close(source)


def _link(tree: Beneath, item: Equalise, found: os.stat_result | None) -> None:
    """Make `item.path` another name of the file at `item.link_to`."""
    source_fd, source = tree.place(item.link_to)
    source_fd = os.dup(source_fd)
    try:
        wanted = os.stat(source, dir_fd=source_fd, follow_symlinks=False)
        if found is not None and (found.st_ino, found.st_dev) == (wanted.st_ino, wanted.st_dev):
            return
        tree.forget_file(item.path)
        parent_fd, name = tree.place(item.path)
        if _stat(parent_fd, _TEMPORARY) is not None:
            os.unlink(_TEMPORARY, dir_fd=parent_fd)
        os.link(source, _TEMPORARY, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        os.rename(_TEMPORARY, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
    finally:
        os.close(source_fd)


def _attributes(item: Equalise, parent_fd: int, name: bytes) -> None:
    os.chown(name, item.uid, item.gid, dir_fd=parent_fd, follow_symlinks=False)
    if not stat.S_ISLNK(item.mode):
        os.chmod(name, stat.S_IMODE(item.mode), dir_fd=parent_fd)
    place = beneath.named(parent_fd, name)
    wanted = dict(item.attributes)
    for text in os.listxattr(place, follow_symlinks=False):
        attribute = os.fsencode(text)
        if attribute not in wanted:
            os.removexattr(place, attribute, follow_symlinks=False)
    for attribute, value in item.attributes:
        os.setxattr(place, attribute, value, follow_symlinks=False)
    beneath.set_times(parent_fd, name, item.mtime_ns)
