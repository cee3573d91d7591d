"""`holdfast update`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, ModuleOption, show, show_scripts


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Have a running module read its configuration in force again, with what host names mean now, in ALONE.

    Its script update runs after it.

    Example: holdfast update -m shop
    """
    updated = call("POST", path_of("modules", module, "update"), timeout_s=SCRIPTS_S_MAX)
    show_scripts(updated["scripts"])
    show(updated, as_json=as_json, text=f"{module}: updated")
    if any(ran["exit_code"] != 0 for ran in updated["scripts"]):
        typer.echo("holdfast: the script update failed", err=True)
        raise typer.Exit(int(ExitCode.FAILED))
