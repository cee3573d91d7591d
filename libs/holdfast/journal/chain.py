"""The hash chain over recorded events. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from holdfast.events import codec
from holdfast.events.envelope import Envelope

GENESIS: Final = hashlib.sha256(b"holdfast journal 1").hexdigest()
"""Stands where the hash of the event before the first would."""
COLUMNS: Final = (
    "id",
    "type",
    "version",
    "module",
    "node",
    "source",
    "wall_ns",
    "mono_ns",
    "hlc_wall_ms",
    "hlc_counter",
    "cause",
    "trace",
    "payload",
    "decision",
)
"""What is hashed, in this order."""

Value = str | int


def row(envelope: Envelope[object], decision: str) -> dict[str, Value]:
    """Return an event as plain columns."""
    body = json.loads(codec.encode(envelope))
    wall_ms, counter = body.pop("hlc")
    payload = json.dumps(body.pop("payload"), separators=(",", ":"), sort_keys=True)
    return {**body, "hlc_wall_ms": wall_ms, "hlc_counter": counter, "payload": payload, "decision": decision}


def envelope(columns: Mapping[str, Value]) -> Envelope[object]:
    """Return the event in a row; raise PeerError when it is not one."""
    names = ("id", "type", "version", "module", "node", "source", "wall_ns", "mono_ns", "cause", "trace")
    head = {name: columns[name] for name in names}
    head["hlc"] = [columns["hlc_wall_ms"], columns["hlc_counter"]]  # type: ignore[assignment]
    text = json.dumps(head, separators=(",", ":"))
    return codec.decode(f'{text[:-1]},"payload":{columns["payload"]}}}'.encode())


def link(previous: str, sequence: int, columns: Mapping[str, Value]) -> str:
    """Return the hash of an event: over the hash before it, its number and all its columns."""
    body = json.dumps([previous, sequence, *(columns[name] for name in COLUMNS)], separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()
