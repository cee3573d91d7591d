"""`holdfast log`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import Json, call, lines, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(
    module: ModuleOption,
    count: Annotated[int, typer.Option("-s", metavar="N", min=1, max=10_000, help="So many lines.")] = 300,
    follow: Annotated[bool, typer.Option("-f", help="Go on with lines as they come.")] = False,
    everything: Annotated[bool, typer.Option("-A", help="Verbose lines too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a module's log: date (UTC) | component | level | text.

    Example: holdfast log -m shop -s 20 -f
    """
    known = call("GET", path_of("modules", module, "log"), query={"lines": count, "verbose": everything})
    for line in known:
        _print(line, as_json)
    if follow:
        for line in lines(path_of("modules", module, "log", "follow"), {"verbose": everything}):
            _print(line, as_json)


def _print(line: Json, as_json: bool) -> None:
    show(line, as_json=as_json, text=line["line"])
