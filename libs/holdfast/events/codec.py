"""Envelope to bytes and back: JSON, validated by pydantic at the edge, unknown or malformed input refused with a
reason.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from holdfast.errors import PeerError
from holdfast.events.catalogue import BY_NAME, BY_PAYLOAD
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.ids import ModuleId, NodeId

ENVELOPE_BYTES_MAX = 1 << 20
"""NATS refuses larger messages by default; a configuration text is the largest thing we send, and is bounded below
this.
"""


@cache
def _adapter(payload: type) -> TypeAdapter[Any]:
    return TypeAdapter(payload)


def prepare() -> None:
    """Build the validators of all payloads now, so that forks share them and the first message is not slow."""
    for payload in BY_PAYLOAD:
        _adapter(payload)


def encode(envelope: Envelope[object]) -> bytes:
    """Return the envelope as one JSON object; raise KeyError when its payload is not in the catalogue."""
    entry = BY_PAYLOAD[type(envelope.payload)]
    body = {
        "id": envelope.id,
        "type": entry.name,
        "version": entry.version,
        "module": envelope.module,
        "node": envelope.node,
        "source": envelope.source,
        "wall_ns": envelope.at_wall_ns,
        "mono_ns": envelope.at_mono_ns,
        "hlc": [envelope.hybrid.wall_ms, envelope.hybrid.counter],
        "cause": envelope.cause,
        "trace": envelope.trace,
        "payload": _adapter(entry.payload).dump_python(envelope.payload, mode="json"),
    }
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def decode(data: bytes) -> Envelope[object]:
    """Return the envelope in `data`; raise PeerError that names what is wrong with it."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise PeerError(f"envelope of {len(data)} bytes, more than {ENVELOPE_BYTES_MAX}")
    try:
        body = json.loads(data)
        entry = BY_NAME[body["type"]]
        if body["version"] > entry.version:
            raise PeerError(f"{entry.name} version {body['version']} is newer than this program ({entry.version})")
        return Envelope(
            id=str(body["id"]),
            module=ModuleId(str(body["module"])),
            node=NodeId(str(body["node"])),
            source=str(body["source"]),
            at_wall_ns=int(body["wall_ns"]),
            at_mono_ns=int(body["mono_ns"]),
            hybrid=HybridTime(wall_ms=int(body["hlc"][0]), counter=int(body["hlc"][1])),
            cause=str(body["cause"]),
            trace=str(body["trace"]),
            payload=_adapter(entry.payload).validate_python(body["payload"]),
        )
    except (ValueError, TypeError, KeyError, IndexError, ValidationError, RecursionError) as error:
        raise PeerError(f"envelope cannot be read: {type(error).__name__}: {error}") from error


def payload_to_jsonable(payload: object) -> Any:
    """Return a payload as plain JSON values, for the API."""
    return _adapter(BY_PAYLOAD[type(payload)].payload).dump_python(payload, mode="json")
