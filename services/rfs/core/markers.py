"""What replication itself puts into the stream beside the applications' operations."""

from __future__ import annotations

from dataclasses import dataclass

from services.rfs.core.operations import Operation


@dataclass(frozen=True, kw_only=True, slots=True)
class InStep:
    """Everything before this is equal on both sides; from here on the primary's promises need the peer."""

    session: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The secondary makes all that it applied durable, and notes what follows apart from what came before."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """Everything before checkpoint `number` is equal and durable on both sides: nobody needs notes of it any more."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe(Operation):
    """Verification: the secondary looks at `path` just here, between two operations, and keeps what it saw for `token`.

    zone: which ZONE_BYTES of the contents to hash, or NO_ZONE for attributes alone.
    """

    zone: int
    token: int


NO_ZONE = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Equalise(Operation):
    """Resync: what is at `path` gets this type, these attributes and this size; contents follow as writes.

    mode: with the file type bits. link_to: another name of the same file that is equal already, or empty.
    single: the secondary's file may have names that it has not here, and gets none but this one. keep: the secondary's
    present contents differ and are kept in quarantine when it has diverged. attributes: all extended ones, sorted.
    """

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    device: int
    target: bytes
    link_to: bytes
    single: bool
    keep: bool
    attributes: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove(Operation):
    """Resync: nothing is at `path` on the primary; what the secondary has there goes, with all below it."""


Marker = InStep | Checkpoint | Confirmed
Item = Operation | Marker
