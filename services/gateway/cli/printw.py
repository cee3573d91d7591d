"""`holdfast printw`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import ModuleOption


def run(text: Annotated[list[str], typer.Argument(metavar="TEXT…")], module: ModuleOption) -> None:
    """Write a warning into the module's log.

    Example: holdfast printw -m shop "database started"
    """
    call("POST", path_of("modules", module, "log"), {"level": "W", "text": " ".join(text), "component": "userplug"})
