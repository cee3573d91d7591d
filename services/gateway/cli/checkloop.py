"""`holdfast checkloop`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption, show, who


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Say how many automatic actions count against maxloop; exit code 1 when one more would stop the module.

    Example: holdfast checkloop -m shop
    """
    loop = call("GET", path_of("modules", module, "loop"), query={"by": identity or who()})
    show(
        loop,
        as_json=as_json,
        text=f"{module}: {loop['counted']} of {loop['maxloop']} within {loop['loop_interval_s']} s",
    )
    if loop["limit_reached"]:
        raise typer.Exit(int(ExitCode.FAILED))
