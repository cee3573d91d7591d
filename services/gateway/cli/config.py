"""`holdfast config`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from holdfast.errors import ExitCode
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, ModuleOption, show, show_scripts


def run(
    module: ModuleOption,
    restore: Annotated[
        int | None,
        typer.Option("--restore", metavar="N", help="A kept configuration instead, 1 the newest (see confinfo)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a module's edited configuration and scripts whole, then put them in force; all or nothing.

    Its scripts config and postconfig are run before, and update after it when the module runs.

    Example: holdfast config -m shop
    """
    if node_is_running():
        query = {} if restore is None else {"restore": restore}
        path = path_of("modules", module, "configuration")
        applied = call("POST", path, query=query, timeout_s=SCRIPTS_S_MAX)
    else:
        applied = _directly(module, restore)
    show_scripts(applied["scripts"])
    for warning in applied["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    changed = "" if applied["changed"] else " (as before)"
    show(applied, as_json=as_json, text=f"{module}: configuration {applied['signature'][:12]} is in force{changed}")
    if applied["failed"]:
        typer.echo(f"holdfast: {applied['failed']}; the configuration is in force all the same", err=True)
        raise typer.Exit(int(ExitCode.FAILED))


def _directly(module: str, restore: int | None) -> Json:
    """Without a running node: nobody to ask, the files are what counts."""
    from services.gateway.files.applying import apply_offline

    return asdict(apply_offline(load_settings(), module, restore=restore))
