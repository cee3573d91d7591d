"""`holdfast second`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


class How(StrEnum):
    """What may follow the word second."""

    DIFFERENCE = ""
    FULLSYNC = "fullsync"


HowArgument = Annotated[How, typer.Argument(metavar="[fullsync]", help="fullsync: copy everything.")]


def run(
    module: ModuleOption, how: HowArgument = How.DIFFERENCE, identity: IdentityOption = "", as_json: JsonOption = False
) -> None:
    """Start as secondary of the node that is primary.

    Example: holdfast second -m shop
    """
    ask(module, "second", argument=how.value, identity=identity, as_json=as_json)
