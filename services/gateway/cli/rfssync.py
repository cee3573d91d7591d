"""`holdfast rfssync`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show, who


class How(StrEnum):
    """What may follow the word rfssync."""

    SHOW = ""
    FULL = "full"
    DEFAULT = "default"


HowArgument = Annotated[How, typer.Argument(metavar="[full|default]", help="full: copy everything the next time.")]


def run(module: ModuleOption, how: HowArgument = How.SHOW, as_json: JsonOption = False) -> None:
    """Say or choose how this node's copy is resynchronised the next time it starts: by difference, or whole.

    full holds until it is done once.

    Example: holdfast rfssync full -m shop
    """
    if how is not How.SHOW:
        body = {"value": how is How.FULL, "who": who()}
        call("PUT", path_of("modules", module, "settings", "rfssync"), body)
    policy = call("GET", path_of("modules", module, "resync"))
    words = "everything is copied" if policy["mode"] == "full" else "what differs is copied"
    text = f"{module}: {policy['mode']} ({words})" if policy["replicated"] else f"{module}: nothing is replicated"
    show(policy, as_json=as_json, text=text)
