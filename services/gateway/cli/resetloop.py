"""`holdfast resetloop`."""

from __future__ import annotations

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption, show, who


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Forget the automatic actions that count against maxloop.

    Example: holdfast resetloop -m shop
    """
    loop = call("DELETE", path_of("modules", module, "loop"), query={"by": identity or who()})
    show(
        loop,
        as_json=as_json,
        text=f"{module}: {loop['counted']} of {loop['maxloop']} within {loop['loop_interval_s']} s",
    )
    if loop["limit_reached"]:
        raise typer.Exit(int(ExitCode.FAILED))
