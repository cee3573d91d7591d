"""`holdfast printe`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import ModuleOption


def run(text: Annotated[list[str], typer.Argument(metavar="TEXT…")], module: ModuleOption) -> None:
    """Write a line into the module's log.

    Example: holdfast printe -m shop "database started"
    """
    call("POST", path_of("modules", module, "log"), {"level": "E", "text": " ".join(text), "component": "userplug"})
