"""`holdfast waitstart`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.options import JsonOption, ModuleOption, show
from services.gateway.cli.waiting import TimeoutOption, wait


def run(module: ModuleOption, timeout: TimeoutOption = None, as_json: JsonOption = False) -> None:
    """Wait until a module is Ready in a role; exit code 1 when it is stopped instead, 3 when it is not in time.

    Example: holdfast waitstart -m shop --timeout 120
    """
    answer = wait(module, "started", {}, timeout)
    state = answer["state"]
    show(answer, as_json=as_json, text=f"{module}: {state['role']} {state['status']}")
    if not answer["reached"]:
        raise typer.Exit(int(ExitCode.FAILED if state["role"] == "STOP" else ExitCode.TIMEOUT))
