"""`holdfast swap`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


class How(StrEnum):
    """What may follow the word swap."""

    SYNC = ""
    NOSYNC = "nosync"


HowArgument = Annotated[How, typer.Argument(metavar="[nosync]", help="nosync: without synchronising data.")]


def run(
    module: ModuleOption, how: HowArgument = How.SYNC, identity: IdentityOption = "", as_json: JsonOption = False
) -> None:
    """Exchange primary and secondary; nothing is lost, the application stops on one node and starts on the other.

    Example: holdfast swap -m shop
    """
    ask(module, "swap", argument=how.value, identity=identity, as_json=as_json)
