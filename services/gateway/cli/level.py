"""`holdfast level`."""

from __future__ import annotations

from dataclasses import asdict

import typer
from holdfast.errors import ExitCode
from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, show, table
from services.gateway.cli.state import ModuleChoice


def run(module: ModuleChoice = "", as_json: JsonOption = False) -> None:
    """Print host, system, version and licence; with -m what the module's own script `level` prints.

    Exit codes: 0 printed, 1 the script failed, 5 no such module, or it has no script `level`.

    Example: holdfast level -m shop
    """
    if not module:
        info = call("GET", "level") if node_is_running() else _here()
        rows = [("Host", info["host"]), ("OS", info["os"]), ("Holdfast", info["version"]), ("License", info["licence"])]
        show(info, as_json=as_json, text=table(rows))
        return
    if node_is_running():
        ran = call("POST", path_of("modules", module, "level"))
    else:
        from services.gateway.support.level import module_level

        ran = asdict(module_level(load_settings(), module))
    show(ran, as_json=as_json, text=ran["output"].rstrip())
    if ran["exit_code"]:
        raise typer.Exit(int(ExitCode.FAILED))


def _here() -> dict[str, str]:
    from services.gateway.support.level import level

    return asdict(level())
