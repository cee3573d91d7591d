"""`holdfast config`."""

from __future__ import annotations

from dataclasses import asdict

import typer
from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Check a module's edited configuration and scripts whole, then put them in force; all or nothing.

    Example: holdfast config -m shop
    """
    if node_is_running():
        applied = call("POST", path_of("modules", module, "configuration"))
    else:
        applied = _directly(module)
    for warning in applied["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    changed = "" if applied["changed"] else " (as before)"
    show(applied, as_json=as_json, text=f"{module}: configuration {applied['signature'][:12]} is in force{changed}")


def _directly(module: str) -> dict[str, object]:
    """Without a running node: nobody to ask, the files are what counts."""
    from services.gateway.files.applying import apply_offline

    return asdict(apply_offline(load_settings(), module))
