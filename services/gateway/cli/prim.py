"""`holdfast prim`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


class How(StrEnum):
    """What may follow the word prim."""

    DIFFERENCE = ""
    FULLSYNC = "fullsync"


HowArgument = Annotated[How, typer.Argument(metavar="[fullsync]", help="fullsync: copy everything.")]


def run(
    module: ModuleOption, how: HowArgument = How.DIFFERENCE, identity: IdentityOption = "", as_json: JsonOption = False
) -> None:
    """Start as primary, whatever this node's record says; the other node's copy becomes the older one.

    Example: holdfast prim -m shop
    """
    ask(module, "prim", argument=how.value, identity=identity, as_json=as_json)
