"""`holdfast checker`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.gateway.cli.asking import switch
from services.gateway.cli.options import JsonOption, ModuleOption


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


def run(
    value: Annotated[Switch, typer.Argument(metavar="on|off")], module: ModuleOption, as_json: JsonOption = False
) -> None:
    """Switch all checkers of a module on or off.

    Example: holdfast checker off -m shop
    """
    switch(module, "checker", value.value, as_json=as_json)
