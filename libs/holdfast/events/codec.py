"""Envelope to bytes and back: JSON, validated by pydantic at the edge, unknown or malformed input refused with a
reason.

Both directions obey the same limits, so whatever could be encoded (and stands in a journal) can be decoded again.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict

from holdfast.errors import InvariantError, PeerError
from holdfast.events.catalogue import BY_NAME, BY_PAYLOAD, Entry
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.upcast import upcast
from holdfast.ids import ModuleId, NodeId

ENVELOPE_BYTES_MAX = 8 << 20
"""A configuration is the largest thing: two texts of 1 MiB each, every character of which may take three bytes more
when it is escaped. The bus carries less (`holdfast.bus.nats`); a journal holds all of it."""
REASON_CHARS_MAX = 300
"""Of what is wrong with a refused envelope; a validator may have thousands of complaints."""

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""Fits SQLite's INTEGER."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""See `holdfast.ids`: the names become parts of subjects and of file names."""


class EnvelopeBody(TypedDict):
    """An envelope in JSON. hlc: milliseconds and counter of the hybrid logical time."""

    id: str
    type: str
    version: Annotated[int, Field(ge=1)]
    module: Name
    node: Name
    source: str
    wall_ns: Count
    mono_ns: Count
    hlc: Annotated[list[Count], Field(min_length=2, max_length=2)]
    cause: str
    trace: str
    payload: dict[str, object]


_BODY = TypeAdapter(EnvelopeBody)


@cache
def _adapter(payload: type) -> TypeAdapter[Any]:
    return TypeAdapter(payload)


def prepare() -> None:
    """Build the validators of all payloads now, so that forks share them and the first message is not slow."""
    for payload in BY_PAYLOAD:
        _adapter(payload)


def encode(envelope: Envelope[object]) -> bytes:
    """Return the envelope as one JSON object.

    Raises KeyError when its payload is not in the catalogue, InvariantError when `decode` would refuse the result:
    text that is not Unicode (lone surrogates), numbers that are none, more than ENVELOPE_BYTES_MAX.
    """
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
        "payload": payload_to_jsonable(envelope.payload),
    }
    try:
        data = json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise InvariantError(f"{entry.name} cannot be encoded: {error}") from error
    if len(data) > ENVELOPE_BYTES_MAX:
        raise InvariantError(f"{entry.name} takes {len(data)} bytes, more than {ENVELOPE_BYTES_MAX}")
    return data


def decode(data: bytes) -> Envelope[object]:
    """Return the envelope in `data`, its payload in the present version; raise PeerError that names what is wrong."""
    if len(data) > ENVELOPE_BYTES_MAX:
        raise PeerError(f"envelope of {len(data)} bytes, more than {ENVELOPE_BYTES_MAX}")
    try:
        # Refuses also what is too deep, not UTF-8, or a lone surrogate.
        body = _BODY.validate_python(from_json(data, allow_inf_nan=False), strict=True)
        entry = _entry(body["type"], body["version"])
        payload = upcast(entry.name, body["version"], body["payload"], wanted=entry.version)
        if not _is_finite(payload):
            raise PeerError(f"{entry.name} holds a number too large to be one")
        return _envelope(body, _adapter(entry.payload).validate_python(payload))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        # pydantic's ValidationError is a ValueError.
        raise PeerError(f"envelope cannot be read: {_reason(error)}") from error


def payload_to_jsonable(payload: object) -> Any:
    """Return a payload as plain JSON values, for the API."""
    return _adapter(BY_PAYLOAD[type(payload)].payload).dump_python(payload, mode="json")


def payload_schema(entry: Entry) -> dict[str, Any]:
    """Return the JSON Schema of what is accepted as this entry's payload, in its present version."""
    return _adapter(entry.payload).json_schema()


def envelope_schema() -> dict[str, Any]:
    """Return the JSON Schema of the envelope around every payload."""
    return _BODY.json_schema()


def _entry(name: str, version: int) -> Entry:
    entry = BY_NAME.get(name)
    if entry is None:
        raise PeerError(f"{name[:80]!r} is no event or order that this program knows")
    if version > entry.version:
        raise PeerError(f"{name} version {version} is newer than this program ({entry.version})")
    return entry


def _envelope(body: EnvelopeBody, payload: object) -> Envelope[object]:
    wall_ms, counter = body["hlc"]
    return Envelope(
        id=body["id"],
        module=ModuleId(body["module"]),
        node=NodeId(body["node"]),
        source=body["source"],
        at_wall_ns=body["wall_ns"],
        at_mono_ns=body["mono_ns"],
        hybrid=HybridTime(wall_ms=wall_ms, counter=counter),
        cause=body["cause"],
        trace=body["trace"],
        payload=payload,
    )


def _is_finite(value: object) -> bool:
    """JSON has no infinity, but a number such as 1e999 is read as one. Depth is bounded by the parser (about 200)."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(_is_finite(item) for item in value.values())
        case list():
            return all(_is_finite(item) for item in value)
        case _:
            return True


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"[:REASON_CHARS_MAX]
    return f"{type(error).__name__}: {error}"[:REASON_CHARS_MAX]
