"""`holdfast clean`."""

from __future__ import annotations

from typing import Annotated

import typer
from holdfast.errors import OperatorError

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show

WHAT = ("all", "log", "resource", "process")


def run(
    module: ModuleOption,
    what: Annotated[
        str, typer.Argument(metavar="|".join(WHAT), help="What goes; all of it when nothing is said.")
    ] = "all",
    as_json: JsonOption = False,
) -> None:
    """Take away a module's log, the earlier values of its resources, or what is left of its script runs.

    The journal of decisions and the present values stay. `process` (and so `all`) needs the module in STOP.

    Exit codes: 0 done, 2 wrong word, 4 the module is not stopped, 5 no such module, 7 the node does not run.

    Example: holdfast clean log -m shop
    """
    if what not in WHAT:
        raise OperatorError(f"there is no '{what}' to clean", hint=", ".join(WHAT))
    done = call("POST", path_of("modules", module, "clean"), {"what": what})
    text = f"{module}: cleaned {what} ({done['files']} log files, {done['values']} earlier values of resources)"
    show(done, as_json=as_json, text=text)
