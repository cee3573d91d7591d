"""`holdfast confcheck`."""

from __future__ import annotations

from dataclasses import asdict

import typer
from holdfast.errors import ExitCode
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, ModuleOption, show, show_scripts


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Check a module's edited configuration and say everything that is wrong or doubtful; nothing is changed.

    Exit code 6 when it is wrong; doubts (warnings) alone give 0.

    Example: holdfast confcheck -m shop
    """
    if node_is_running():
        path = path_of("modules", module, "configuration", "check")
        checked = call("POST", path, timeout_s=SCRIPTS_S_MAX)
    else:
        checked = _directly(module)
    show_scripts(checked["scripts"])
    problems, warnings = checked["problems"], checked["warnings"]
    if not as_json:
        for problem in problems:
            typer.echo(f"error: {problem}", err=True)
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
    word = "would be accepted" if checked["valid"] else "is wrong"
    text = f"{module}: the configuration {word} ({_count(problems, 'error')}, {_count(warnings, 'warning')})"
    show(checked, as_json=as_json, text=text)
    if not checked["valid"]:
        raise typer.Exit(int(ExitCode.CONFIG_INVALID))


def _count(items: list[str], word: str) -> str:
    return f"{len(items)} {word}{'' if len(items) == 1 else 's'}"


def _directly(module: str) -> Json:
    from services.gateway.files.applying import confcheck

    return asdict(confcheck(load_settings(), module))
