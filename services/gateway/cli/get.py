"""`holdfast get`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show

ResourceOption = Annotated[str, typer.Option("-r", "--resource", metavar="CLASS.ID", help="Which resource.")]


def run(module: ModuleOption, resource: ResourceOption, as_json: JsonOption = False) -> None:
    """Print the value of a resource.

    Example: holdfast get -m shop -r tcp.web
    """
    answer = call("GET", path_of("modules", module, "resources", resource))
    show(answer, as_json=as_json, text=str(answer["value"]))
