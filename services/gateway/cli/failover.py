"""`holdfast failover`."""

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
    """Switch automatic failover on or off; switch it on both nodes.

    Example: holdfast failover off -m shop
    """
    switch(module, "failover", value.value, as_json=as_json)
