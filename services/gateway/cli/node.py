"""`holdfast node`: run this node, see its services."""

from __future__ import annotations

import os
import sys

import typer

from services.gateway.cli.client import Json, call
from services.gateway.cli.options import JsonOption, show, table

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("run")
def run_node() -> None:
    """Become this node: its supervisor with all services, until SIGTERM.

    Example: holdfast node run
    """
    os.execv(sys.executable, [sys.executable, "-m", "services.supervisor"])


@app.command("services")
def services(as_json: JsonOption = False) -> None:
    """List the services of this node as its supervisor sees them.

    Example: holdfast node services
    """
    answer = call("GET", "services")
    head = ("SERVICE", "PID", "READY", "RESTARTS", "RUNNING FOR")
    rows = [
        (
            s["service"],
            str(s["pid"]),
            "yes" if s["ready"] else "no",
            str(s["restarts"]),
            f"{s.get('running_s', 0):.1f} s",
        )
        for s in answer["services"]
    ]
    show(answer, as_json=as_json, text=table([head, *rows]))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _seconds(service: Json) -> str:
    return f"{service.get('running_s', 0):.1f} s"
