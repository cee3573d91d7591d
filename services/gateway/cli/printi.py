"""`holdfast printi`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import ModuleOption


def run(text: Annotated[list[str], typer.Argument(metavar="TEXT…")], module: ModuleOption) -> None:
    """Write a line into the module's log that is shown only with -A.

    Example: holdfast printi -m shop "database started"
    """
    call("POST", path_of("modules", module, "log"), {"level": "I", "text": " ".join(text), "component": "userplug"})
