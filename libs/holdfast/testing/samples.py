"""One example of every event and order, made from its types: every field set, nothing random.

Run (`python -m holdfast.testing.samples FOLDER`) to add the examples that a folder does not have yet; those that it has
are never written again, because they stand for what an older program wrote.
"""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from holdfast.errors import InvariantError
from holdfast.events import codec
from holdfast.events.catalogue import BY_NAME
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.ids import ModuleId, NodeId

WALL_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z"""


def sample(kind: Any) -> Any:
    """Return a value of a type as payloads use them; texts are not ASCII so that encodings are tried."""
    if hasattr(kind, "__supertype__"):
        return sample(kind.__supertype__)
    if get_origin(kind) is tuple:
        return (sample(get_args(kind)[0]),) * 2
    if get_origin(kind) is dict:
        return {"schlüssel": sample(get_args(kind)[1])}
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{field.name: sample(hints[field.name]) for field in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[-1]
    values: dict[Any, Any] = {str: "wört “quoted”\n", int: 7, float: 2.5, bool: True}
    if kind not in values:
        raise InvariantError(f"no example of {kind} is known", hint="payloads hold text, numbers, enums, tuples, dicts")
    return values[kind]


def sample_envelope(payload: object) -> Envelope[object]:
    return Envelope(
        id="node1-7-1",
        module=ModuleId("shop"),
        node=NodeId("node1"),
        source="test",
        at_wall_ns=WALL_NS,
        at_mono_ns=1_000_000_007,
        hybrid=HybridTime(wall_ms=WALL_NS // 1_000_000, counter=3),
        cause="node1-7-0",
        trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        payload=payload,
    )


def add_missing(folder: Path) -> list[str]:
    """Write the examples of present versions that are missing; return their names."""
    added = []
    for entry in BY_NAME.values():
        path = folder / f"{entry.name}.v{entry.version}.json"
        if not path.exists():
            path.write_bytes(codec.encode(sample_envelope(sample(entry.payload))) + b"\n")
            added.append(path.name)
    return added


if __name__ == "__main__":
    add_missing(Path(sys.argv[1]))
