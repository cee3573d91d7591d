"""`holdfast waitstop`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.options import JsonOption, ModuleOption, show
from services.gateway.cli.waiting import TimeoutOption, wait


def run(module: ModuleOption, timeout: TimeoutOption = None, as_json: JsonOption = False) -> None:
    """Wait until a module is stopped, all its scripts included; exit code 3 when it is not in time.

    Example: holdfast waitstop -m shop --timeout 120
    """
    answer = wait(module, "stopped", {}, timeout)
    state = answer["state"]
    show(answer, as_json=as_json, text=f"{module}: {state['role']} {state['status']}")
    if not answer["reached"]:
        raise typer.Exit(int(ExitCode.TIMEOUT))
