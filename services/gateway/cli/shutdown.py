"""`holdfast shutdown`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.client import call
from services.gateway.cli.options import JsonOption, show

STOP_S_MAX = 90.0
"""The modules get 75 s."""


def run(as_json: JsonOption = False) -> None:
    """Stop all modules of this node, as before the end of the machine; peers take over. Exit code 3 when some did not.

    A module that was running starts again with the node, unless its boot says off.

    Example: holdfast shutdown
    """
    done = call("POST", "shutdown", timeout_s=STOP_S_MAX)
    left = done["not_stopped"]
    text = (
        f"not stopped in time: {', '.join(left)}" if left else f"stopped: {', '.join(done['modules']) or 'no module'}"
    )
    show(done, as_json=as_json, text=text)
    if left:
        raise typer.Exit(int(ExitCode.TIMEOUT))
