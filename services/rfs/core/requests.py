"""What the primary asks of the secondary beside the stream, and the answers, as bytes. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from holdfast.errors import PeerError

from services.rfs.core import limits
from services.rfs.core.codec import Reader, text
from services.rfs.core.rows import DIGEST_BYTES

_REQUEST = struct.Struct("<BHQ")
_ZONES = struct.Struct("<I")
_PATHS = struct.Struct("<I")
PATHS_MAX = 4096
"""Paths in one request for rows."""
ZONES_MAX = 1 << 20
"""Zones of one file in one request: a terabyte."""


class Ask(IntEnum):
    """Kinds of request."""

    JOURNAL = 1
    """Everything the secondary's change journal notes; answered by messages of entries and an empty one."""
    JOURNAL_TAKEN = 2
    """The primary has the entries on disk; the secondary may forget them. Answered by an empty message."""
    WALK = 3
    """Rows of a whole subtree: one message a directory, and an empty one."""
    ROWS = 4
    """Rows of single paths: one message; a path that is not there has none."""
    HASHES = 5
    """Digests of a file's zones, in the order asked for."""
    PROBED = 6
    """What the secondary saw at the probe `token`: rows (one or none) and a digest; waits until it has been applied."""
    LISTING = 7
    """Rows of one directory's names: one message, without rows when there is no such directory."""
    CENSUS = 8
    """As WALK, with a digest in place of a directory's rows where these tell no more; see `census`. Only a secondary
    that says in its greeting that it can is asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """kind, and as the kind needs: tree, paths (one or several), zones of the one path, a token."""

    kind: Ask
    tree: int = 0
    token: int = 0
    paths: tuple[bytes, ...] = ()
    zones: tuple[int, ...] = ()


def encode(request: Request) -> bytes:
    parts = [_REQUEST.pack(request.kind, request.tree, request.token), _PATHS.pack(len(request.paths))]
    parts += [text(path) for path in request.paths]
    parts.append(_PATHS.pack(len(request.zones)))
    parts += [_ZONES.pack(zone) for zone in request.zones]
    return b"".join(parts)


def decode(message: bytes) -> Request:
    """Return the request; raise PeerError for anything that `encode` cannot have made."""
    reader = Reader(memoryview(message))
    kind, tree, token = reader.take(_REQUEST)
    (count,) = reader.take(_PATHS)
    if count > PATHS_MAX or tree >= limits.TREES_MAX:
        raise PeerError(f"a request for {count} paths of tree {tree}")
    paths = tuple(reader.path() for _ in range(count))
    (zones,) = reader.take(_PATHS)
    if zones > ZONES_MAX:
        raise PeerError(f"a request for {zones} zones")
    numbers = tuple(reader.take(_ZONES)[0] for _ in range(zones))
    reader.end()
    try:
        return Request(kind=Ask(kind), tree=tree, token=token, paths=paths, zones=numbers)
    except ValueError as error:
        raise PeerError(f"a request of unknown kind {kind}") from error


def encode_digests(digests: list[bytes]) -> bytes:
    """Digests one after another; one beyond the end of the file is all zeros."""
    return b"".join(digest or bytes(DIGEST_BYTES) for digest in digests)


def decode_digests(message: bytes, count: int) -> list[bytes]:
    """The inverse, for the `count` that were asked for."""
    if len(message) != count * DIGEST_BYTES:
        raise PeerError(f"{len(message)} bytes of digests for {count} zones")
    found = [message[at : at + DIGEST_BYTES] for at in range(0, len(message), DIGEST_BYTES)]
    return [b"" if digest == bytes(DIGEST_BYTES) else digest for digest in found]
