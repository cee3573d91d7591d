"""The result of a comparison, as the primary tells it to the secondary that asked for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from holdfast.errors import PeerError

DIFFERENCES_MAX = 1000
"""Differences reported one by one; the rest are counted. With the longest paths they fit into one message."""


@dataclass(frozen=True, slots=True)
class Difference:
    """path: with the number of its directory. what: in words."""

    tree: int
    path: bytes
    what: str


@dataclass(slots=True)
class Comparison:
    """The result: how much was compared, and what differs. error: why nothing was, in words."""

    files: int = 0
    bytes_compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    differences_total: int = 0
    error: str = ""

    def add(self, tree: int, path: bytes, what: str) -> None:
        self.differences_total += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(Difference(tree, path, what))


def encode(comparison: Comparison) -> bytes:
    """One message."""
    return json.dumps(
        {
            "files": comparison.files,
            "bytes": comparison.bytes_compared,
            "differences": [[one.tree, one.path.hex(), one.what] for one in comparison.differences],
            "total": comparison.differences_total,
            "error": comparison.error,
        }
    ).encode()


def decode(message: bytes) -> Comparison:
    """Raise PeerError for rubbish."""
    try:
        said = json.loads(message)
        found = [Difference(int(tree), bytes.fromhex(path), str(what)) for tree, path, what in said["differences"]]
        return Comparison(
            files=int(said["files"]),
            bytes_compared=int(said["bytes"]),
            differences=found[:DIFFERENCES_MAX],
            differences_total=int(said["total"]),
            error=str(said["error"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"the primary's answer to a comparison cannot be read: {error}") from error
