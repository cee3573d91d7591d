"""The corpus of configurations, and how an expectation is written.

Beside every `.xml` stands an `.expected`: of a valid file the parts of its typed value that are not defaults, as JSON
with its warnings, of an invalid one every problem, a line each. `HOLDFAST_REWRITE=1` writes them anew; commit only a
difference that you understand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from holdfast.config.jsonable import Jsonable, to_jsonable
from holdfast.config.model import ClusterConfig, ModuleConfig
from holdfast.config.parse import parse_cluster, parse_module

CORPUS = Path(__file__).parent / "corpus"
ENVIRONMENT: Mapping[str, str] = MappingProxyType({"FIRST_NODE": "node1", "DATA": "/srv/data", "NET": "7"})
"""What `%NAME%` finds when no macro has the name."""

DEFAULTS = CORPUS / "defaults.xml"
"""One of every part of a module, with nothing but what must be written."""

SAID_ELSEWHERE = frozenset({"at", "signature", "source"})
"""Places and hashes change with every edit of a file; places stand in its problems and warnings."""


def files(verdict: str) -> list[Path]:
    """The files that are `valid` or `invalid`."""
    return sorted(CORPUS.glob(f"*/{verdict}/*.xml"))


def name_of(file: Path) -> str:
    """How a test calls a file."""
    return f"{file.parent.parent.name}-{file.stem}"


def parse(file: Path) -> ClusterConfig | ModuleConfig:
    """Parse a file as what its folder says it is."""
    if file.parent.parent.name == "cluster":
        return parse_cluster(file.read_bytes(), file.name)
    return parse_module(file.read_bytes(), file.name, ENVIRONMENT)


def expectation(config: ClusterConfig | ModuleConfig) -> str:
    """The text that is expected of a valid configuration: a line for each part that it has."""
    default = to_jsonable(parse_module(DEFAULTS.read_bytes(), DEFAULTS.name, {}))
    plain = to_jsonable(config)
    assert isinstance(plain, dict)
    assert isinstance(default, dict)
    parts = {key: _without(value, default.get(key)) for key, value in plain.items() if key not in SAID_ELSEWHERE}
    told = {key: part for key, part in parts.items() if part not in (None, []) and part != default.get(key)}
    lines = [f"{json.dumps(key)}: {json.dumps(part, ensure_ascii=False)}" for key, part in told.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _without(value: Jsonable, default: Jsonable) -> Jsonable:
    """A record without the fields that are as in `default`; each record of a list is compared with the first there."""
    if isinstance(value, dict):
        pattern = default if isinstance(default, dict) else {}
        return {
            key: _without(item, pattern.get(key))
            for key, item in value.items()
            if key not in SAID_ELSEWHERE and (key not in pattern or item != pattern[key])
        }
    if isinstance(value, list):
        first = default[0] if isinstance(default, list) and default else None
        return [_without(item, first) for item in value]
    return value
