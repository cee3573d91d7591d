"""Operations and markers as bytes. Pure; the inverse functions agree for every value, and rubbish raises PeerError.

A body is: path length u16, path, then the fields of the kind in little-endian order, byte strings with a length before
them, and for a write the data as the rest. The record's header (see `record`) carries kind and tree.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

from holdfast.errors import PeerError

from services.rfs.core import limits
from services.rfs.core import operations as ops
from services.rfs.core.markers import Checkpoint, Confirmed, Equalise, InStep, Item, Probe, Remove

Payload = bytes | memoryview
_Item = TypeVar("_Item", bound=Item)
_LENGTH = struct.Struct("<H")
_COUNT = struct.Struct("<I")
_OWNED = struct.Struct("<IIIQ")
_NODE = struct.Struct("<IQIIQ")
_SYMLINK = struct.Struct("<IIQ")
_TIME = struct.Struct("<q")
_TIMES = struct.Struct("<qq")
_RENAME = struct.Struct("<Iqq")
_OFFSET = struct.Struct("<Q")
_ALLOCATE = struct.Struct("<IQQ")
_MODE = struct.Struct("<I")
_OWNER = struct.Struct("<qqI")
_FLAGS = struct.Struct("<BB")
_EQUALISE = struct.Struct("<IIIqQQBB")
_NUMBER = struct.Struct("<Q")
_PROBE = struct.Struct("<IQ")

KIND_CREATE = 1
KIND_DIRECTORY = 2
KIND_NODE = 3
KIND_SYMLINK = 4
KIND_LINK = 5
KIND_UNLINK = 6
KIND_RMDIR = 7
KIND_RENAME = 8
KIND_WRITE = 9
KIND_TRUNCATE = 10
KIND_ALLOCATE = 11
KIND_MODE = 12
KIND_OWNER = 13
KIND_TIMES = 14
KIND_ATTRIBUTE = 15
KIND_REMOVE_ATTRIBUTE = 16
KIND_SYNCHRONISE = 17
KIND_EQUALISE = 32
KIND_REMOVE = 33
KIND_IN_STEP = 48
KIND_CHECKPOINT = 49
KIND_PROBE = 50
KIND_CONFIRMED = 51


class Reader:
    """Takes fields from the front of a body; raises PeerError instead of running over its end."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        """Return the fields of `form`, all of them integers."""
        end = self._at + form.size
        if end > len(self._body):
            raise PeerError("an operation is shorter than its kind needs")
        values = form.unpack_from(self._body, self._at)
        self._at = end
        return values

    def text(self, limit: int, form: struct.Struct = _LENGTH) -> bytes:
        """Return a byte string that is preceded by its length, of at most `limit` bytes."""
        (length,) = self.take(form)
        end = self._at + length
        if length > limit or end > len(self._body):
            raise PeerError(f"a string of {length} bytes in an operation", hint=f"at most {limit}")
        value = bytes(self._body[self._at : end])
        self._at = end
        return value

    def exactly(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        end = self._at + length
        if end > len(self._body):
            raise PeerError(f"a string of {length} bytes runs over the end of what holds it")
        value = bytes(self._body[self._at : end])
        self._at = end
        return value

    def path(self) -> bytes:
        """Return a path that stays below its tree: relative, no empty, `.` or `..` component, no NUL."""
        return checked_path(self.text(limits.PATH_BYTES_MAX))

    def rest(self) -> memoryview:
        """Return everything that is left."""
        rest = self._body[self._at :]
        self._at = len(self._body)
        return rest

    @property
    def is_empty(self) -> bool:
        """True when everything has been taken."""
        return self._at == len(self._body)

    def end(self) -> None:
        """Raise PeerError when something is left over."""
        if self._at != len(self._body):
            raise PeerError("an operation is longer than its kind needs")


def checked_path(path: bytes) -> bytes:
    """Return `path` if it names something inside a tree; raise PeerError otherwise."""
    if path:
        framed = b"/%s/" % path
        if b"//" in framed or b"/./" in framed or b"/../" in framed or b"\0" in path:
            raise PeerError(f"the path {path[:80]!r} leaves its tree or is malformed")
    return path


def text(value: bytes) -> bytes:
    """A byte string with its length before it."""
    return _LENGTH.pack(len(value)) + value


def encode(item: Item) -> tuple[int, int, bytes, Payload]:
    """Return kind, tree, the body's head and its payload (the data of a write, uncopied, else empty)."""
    if type(item) is ops.Write:
        return KIND_WRITE, item.tree, text(item.path) + _OFFSET.pack(item.offset), item.data
    kind, fields = _ENCODERS[type(item)]
    body = fields(item)
    if isinstance(item, ops.Operation):
        return kind, item.tree, text(item.path) + body, b""
    return kind, 0, body, b""


def decode(kind: int, tree: int, body: memoryview) -> Item:
    """Return what `encode` was given; raise PeerError for anything that `encode` cannot have made."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise PeerError(f"an operation of unknown kind {kind}")
    if tree >= limits.TREES_MAX:
        raise PeerError(f"an operation for tree {tree}", hint=f"at most {limits.TREES_MAX} trees")
    reader = Reader(body)
    item = decoder(tree, reader)
    reader.end()
    return item


def _equalise_fields(item: Equalise) -> bytes:
    head = _EQUALISE.pack(item.mode, item.uid, item.gid, item.mtime_ns, item.size, item.device, item.single, item.keep)
    attributes = [_LENGTH.pack(len(item.attributes))]
    for name, value in item.attributes:
        attributes += [text(name), _COUNT.pack(len(value)), value]
    return b"".join([head, text(item.target), text(item.link_to), *attributes])


def _equalise(tree: int, reader: Reader) -> Equalise:
    path = reader.path()
    mode, uid, gid, mtime_ns, size, device, single, keep = reader.take(_EQUALISE)
    target = reader.text(limits.PATH_BYTES_MAX)
    link_to = reader.path()
    (count,) = reader.take(_LENGTH)
    if count > limits.ATTRIBUTES_MAX:
        raise PeerError(f"{count} extended attributes on one file", hint=f"at most {limits.ATTRIBUTES_MAX}")
    attributes = tuple(
        (reader.text(limits.NAME_BYTES_MAX), reader.text(limits.ATTRIBUTE_BYTES_MAX, _COUNT)) for _ in range(count)
    )
    return Equalise(
        tree=tree,
        path=path,
        mode=mode,
        uid=uid,
        gid=gid,
        mtime_ns=mtime_ns,
        size=size,
        device=device,
        target=target,
        link_to=link_to,
        single=bool(single),
        keep=bool(keep),
        attributes=attributes,
    )


def _create(tree: int, reader: Reader) -> ops.Create:
    path = reader.path()
    mode, uid, gid, mtime = reader.take(_OWNED)
    return ops.Create(tree=tree, path=path, mode=mode, uid=uid, gid=gid, parent_mtime_ns=mtime)


def _directory(tree: int, reader: Reader) -> ops.MakeDirectory:
    path = reader.path()
    mode, uid, gid, mtime = reader.take(_OWNED)
    return ops.MakeDirectory(tree=tree, path=path, mode=mode, uid=uid, gid=gid, parent_mtime_ns=mtime)


def _node(tree: int, reader: Reader) -> ops.MakeNode:
    path = reader.path()
    mode, device, uid, gid, mtime = reader.take(_NODE)
    return ops.MakeNode(tree=tree, path=path, mode=mode, device=device, uid=uid, gid=gid, parent_mtime_ns=mtime)


def _symlink(tree: int, reader: Reader) -> ops.MakeSymlink:
    path = reader.path()
    uid, gid, mtime = reader.take(_SYMLINK)
    target = reader.text(limits.PATH_BYTES_MAX)
    return ops.MakeSymlink(tree=tree, path=path, target=target, uid=uid, gid=gid, parent_mtime_ns=mtime)


def _link(tree: int, reader: Reader) -> ops.MakeLink:
    path = reader.path()
    (mtime,) = reader.take(_TIME)
    return ops.MakeLink(tree=tree, path=path, source=reader.path(), parent_mtime_ns=mtime)


def _unlink(tree: int, reader: Reader) -> ops.Unlink:
    return ops.Unlink(tree=tree, path=reader.path(), parent_mtime_ns=reader.take(_TIME)[0])


def _rmdir(tree: int, reader: Reader) -> ops.RemoveDirectory:
    return ops.RemoveDirectory(tree=tree, path=reader.path(), parent_mtime_ns=reader.take(_TIME)[0])


def _rename(tree: int, reader: Reader) -> ops.Rename:
    path = reader.path()
    flags, mtime, target_mtime = reader.take(_RENAME)
    return ops.Rename(
        tree=tree,
        path=path,
        target=reader.path(),
        flags=flags,
        parent_mtime_ns=mtime,
        target_parent_mtime_ns=target_mtime,
    )


def _write(tree: int, reader: Reader) -> ops.Write:
    path = reader.path()
    (offset,) = reader.take(_OFFSET)
    return ops.Write(tree=tree, path=path, offset=offset, data=reader.rest())


def _truncate(tree: int, reader: Reader) -> ops.Truncate:
    return ops.Truncate(tree=tree, path=reader.path(), size=reader.take(_OFFSET)[0])


def _allocate(tree: int, reader: Reader) -> ops.Allocate:
    path = reader.path()
    mode, offset, length = reader.take(_ALLOCATE)
    return ops.Allocate(tree=tree, path=path, mode=mode, offset=offset, length=length)


def _set_mode(tree: int, reader: Reader) -> ops.SetMode:
    return ops.SetMode(tree=tree, path=reader.path(), mode=reader.take(_MODE)[0])


def _set_owner(tree: int, reader: Reader) -> ops.SetOwner:
    path = reader.path()
    uid, gid, mode = reader.take(_OWNER)
    return ops.SetOwner(tree=tree, path=path, uid=uid, gid=gid, mode=mode)


def _set_times(tree: int, reader: Reader) -> ops.SetTimes:
    path = reader.path()
    mtime_ns, atime_ns = reader.take(_TIMES)
    return ops.SetTimes(tree=tree, path=path, mtime_ns=mtime_ns, atime_ns=atime_ns)


def _set_attribute(tree: int, reader: Reader) -> ops.SetAttribute:
    path = reader.path()
    name = reader.text(limits.NAME_BYTES_MAX)
    value = reader.text(limits.ATTRIBUTE_BYTES_MAX, _COUNT)
    return ops.SetAttribute(tree=tree, path=path, name=name, value=value)


def _remove_attribute(tree: int, reader: Reader) -> ops.RemoveAttribute:
    return ops.RemoveAttribute(tree=tree, path=reader.path(), name=reader.text(limits.NAME_BYTES_MAX))


def _synchronise(tree: int, reader: Reader) -> ops.Synchronise:
    path = reader.path()
    data_only, whole = reader.take(_FLAGS)
    return ops.Synchronise(tree=tree, path=path, data_only=bool(data_only), whole=bool(whole))


def _probe(tree: int, reader: Reader) -> Probe:
    path = reader.path()
    zone, token = reader.take(_PROBE)
    return Probe(tree=tree, path=path, zone=zone, token=token)


def _in_step(_tree: int, reader: Reader) -> InStep:
    try:
        return InStep(session=reader.text(limits.NAME_BYTES_MAX).decode("ascii"))
    except UnicodeDecodeError as error:
        raise PeerError("a session id that is not ASCII") from error


def _entry(
    kind: int, item: type[_Item], fields: Callable[[_Item], bytes]
) -> tuple[type, tuple[int, Callable[[Item], bytes]]]:
    """One row of the encoders' table; the table's key is what makes the narrower argument type right."""
    return item, (kind, fields)  # type: ignore[return-value]


_ENCODERS: dict[type, tuple[int, Callable[[Item], bytes]]] = dict(
    (
        _entry(KIND_CREATE, ops.Create, lambda o: _OWNED.pack(o.mode, o.uid, o.gid, o.parent_mtime_ns)),
        _entry(KIND_DIRECTORY, ops.MakeDirectory, lambda o: _OWNED.pack(o.mode, o.uid, o.gid, o.parent_mtime_ns)),
        _entry(
            KIND_NODE,
            ops.MakeNode,
            lambda o: _NODE.pack(o.mode, o.device, o.uid, o.gid, o.parent_mtime_ns),
        ),
        _entry(
            KIND_SYMLINK,
            ops.MakeSymlink,
            lambda o: _SYMLINK.pack(o.uid, o.gid, o.parent_mtime_ns) + text(o.target),
        ),
        _entry(KIND_LINK, ops.MakeLink, lambda o: _TIME.pack(o.parent_mtime_ns) + text(o.source)),
        _entry(KIND_UNLINK, ops.Unlink, lambda o: _TIME.pack(o.parent_mtime_ns)),
        _entry(KIND_RMDIR, ops.RemoveDirectory, lambda o: _TIME.pack(o.parent_mtime_ns)),
        _entry(
            KIND_RENAME,
            ops.Rename,
            lambda o: _RENAME.pack(o.flags, o.parent_mtime_ns, o.target_parent_mtime_ns) + text(o.target),
        ),
        _entry(KIND_TRUNCATE, ops.Truncate, lambda o: _OFFSET.pack(o.size)),
        _entry(KIND_ALLOCATE, ops.Allocate, lambda o: _ALLOCATE.pack(o.mode, o.offset, o.length)),
        _entry(KIND_MODE, ops.SetMode, lambda o: _MODE.pack(o.mode)),
        _entry(KIND_OWNER, ops.SetOwner, lambda o: _OWNER.pack(o.uid, o.gid, o.mode)),
        _entry(KIND_TIMES, ops.SetTimes, lambda o: _TIMES.pack(o.mtime_ns, o.atime_ns)),
        _entry(
            KIND_ATTRIBUTE,
            ops.SetAttribute,
            lambda o: text(o.name) + _COUNT.pack(len(o.value)) + o.value,
        ),
        _entry(KIND_REMOVE_ATTRIBUTE, ops.RemoveAttribute, lambda o: text(o.name)),
        _entry(KIND_SYNCHRONISE, ops.Synchronise, lambda o: _FLAGS.pack(o.data_only, o.whole)),
        _entry(KIND_EQUALISE, Equalise, _equalise_fields),
        _entry(KIND_REMOVE, Remove, lambda o: b""),
        _entry(KIND_IN_STEP, InStep, lambda o: text(o.session.encode("ascii"))),
        _entry(KIND_CHECKPOINT, Checkpoint, lambda o: _NUMBER.pack(o.number)),
        _entry(KIND_CONFIRMED, Confirmed, lambda o: _NUMBER.pack(o.number)),
        _entry(KIND_PROBE, Probe, lambda o: _PROBE.pack(o.zone, o.token)),
    )
)

_DECODERS: dict[int, Callable[[int, Reader], Item]] = {
    KIND_CREATE: _create,
    KIND_DIRECTORY: _directory,
    KIND_NODE: _node,
    KIND_SYMLINK: _symlink,
    KIND_LINK: _link,
    KIND_UNLINK: _unlink,
    KIND_RMDIR: _rmdir,
    KIND_RENAME: _rename,
    KIND_WRITE: _write,
    KIND_TRUNCATE: _truncate,
    KIND_ALLOCATE: _allocate,
    KIND_MODE: _set_mode,
    KIND_OWNER: _set_owner,
    KIND_TIMES: _set_times,
    KIND_ATTRIBUTE: _set_attribute,
    KIND_REMOVE_ATTRIBUTE: _remove_attribute,
    KIND_SYNCHRONISE: _synchronise,
    KIND_EQUALISE: _equalise,
    KIND_REMOVE: lambda tree, reader: Remove(tree=tree, path=reader.path()),
    KIND_IN_STEP: _in_step,
    KIND_CHECKPOINT: lambda _tree, reader: Checkpoint(number=reader.take(_NUMBER)[0]),
    KIND_CONFIRMED: lambda _tree, reader: Confirmed(number=reader.take(_NUMBER)[0]),
    KIND_PROBE: _probe,
}
