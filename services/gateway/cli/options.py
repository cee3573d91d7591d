"""Options that many commands share, and how results are shown."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

ModuleOption = Annotated[
    str,
    typer.Option("-m", "--module", envvar="SAFEMODULE", metavar="AM", help="Which module."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
IdentityOption = Annotated[
    str,
    typer.Option("-i", "--identity", metavar="ID", help="Who asks; then it counts against maxloop."),
]


SCRIPTS_S_MAX = 1200.0
"""For a command that runs scripts of the configuration: three of them at most, 300 s each, and what is beside them."""


def show_scripts(ran: Sequence[Mapping[str, Any]]) -> None:
    """Print what scripts said, on standard error, so that a result on standard output stays whole."""
    for each in ran:
        for line in str(each["output"]).splitlines():
            typer.echo(f"{each['script']}: {line}", err=True)


def configuration_lines(info: Mapping[str, Any]) -> str:
    """Signature and date of what is in force and of what is edited, and what is kept."""
    active, current = info["active"], info["current"]
    rows = [("in force", *_signed(active)) if active else ("in force", "none", "", ""), ("edited", *_signed(current))]
    rows += [(f"kept {kept['number']}", kept["at"], "", "") for kept in info["kept"]]
    same = "the edited configuration is in force" if info["same"] else "the edited configuration is not in force"
    return f"{table(rows)}\n{same}"


def _signed(one: Mapping[str, Any]) -> tuple[str, str, str]:
    return (str(one["at"]), f"xml {one['signature'][:12] or 'wrong'}", f"scripts {one['scripts'][:12]}")


def show(value: Any, *, as_json: bool, text: str = "") -> None:
    """Print a result as JSON or as text."""
    if as_json:
        typer.echo(json.dumps(value, indent=None, separators=(", ", ": ")))
    elif text:
        typer.echo(text)


def who() -> str:
    """Who calls, for the log."""
    name = os.environ.get("SUDO_USER")
    if name:
        return name[:64]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows in columns, padded."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(padded)


def stamp(wall_ns: int) -> str:
    """An instant as it is shown: UTC, with microseconds."""
    import time

    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest_ns // 1000:06d}"
