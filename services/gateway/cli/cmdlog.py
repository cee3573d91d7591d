"""`holdfast cmdlog`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import Json, call
from services.gateway.cli.options import JsonOption, show, stamp
from services.gateway.cli.state import ModuleChoice


def run(
    module: ModuleChoice = "",
    count: Annotated[int, typer.Option("-s", metavar="N", min=1, max=10_000, help="So many commands.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Print the command log of this node, all modules unless one is named: each command that changes something.

    Lines: date (UTC) | who | module | pid | START and what was typed, or END with exit code and reason.

    Exit codes: 0 printed, 7 the node does not run.

    Example: holdfast cmdlog -s 20
    """
    found = call("GET", "commands", query={"limit": count, **({"module": module} if module else {})})
    if as_json:
        show(found, as_json=True)
        return
    for _at, line in sorted(line for entry in found for line in _lines(entry)):
        typer.echo(line)


def _lines(entry: Json) -> list[tuple[int, str]]:
    what = entry["command"] or f"{entry['request']} {entry['arguments']}".rstrip()
    told = [_line(entry, entry["began_wall_ns"], f"START {what}")]
    if entry["ended_wall_ns"]:
        why = f" ({entry['result']})" if entry["result"] else ""
        told.append(_line(entry, entry["ended_wall_ns"], f"END {entry['exit_code']}{why}"))
    return told


def _line(entry: Json, wall_ns: int, what: str) -> tuple[int, str]:
    return wall_ns, f"{stamp(wall_ns)} | {entry['who']} | {entry['module'] or '-'} | {entry['pid'] or '-'} | {what}"
