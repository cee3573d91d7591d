"""`holdfast rules`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Print every failover rule of a module: where it comes from, what it looks at, its result, what would make it act.

    Example: holdfast rules -m shop
    """
    answer = call("GET", path_of("modules", module, "rules"))
    show(answer, as_json=as_json, text="\n".join(line for rule in answer["rules"] for line in lines(rule)))


def lines(rule: Mapping[str, Any]) -> Iterator[str]:
    """One rule as text."""
    result = ("holds" if rule["result"] else "does not hold") if rule["in_force"] else "not in force"
    yield f"{rule['text']}  [{rule['origin']}, {result}]"
    if not rule["in_force"]:
        yield f"    {rule['acts']}"
        return
    if rule["seen"]:
        yield "    sees " + ", ".join(f"{name} {value}" for name, value in rule["seen"])
    yield f"    acts {rule['acts']}"
