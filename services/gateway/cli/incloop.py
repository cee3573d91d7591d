"""`holdfast incloop`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption, show, who


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Count an action against maxloop, as handlers do; exit code 1 when the limit had been reached before it.

    Example: holdfast incloop -m shop -i myhandler
    """
    loop = call("POST", path_of("modules", module, "loop"), query={"by": identity or who()})
    show(
        loop,
        as_json=as_json,
        text=f"{module}: {loop['counted']} of {loop['maxloop']} within {loop['loop_interval_s']} s",
    )
    if loop["limit_reached"]:
        raise typer.Exit(int(ExitCode.FAILED))
