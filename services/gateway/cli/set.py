"""`holdfast set`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import call, path_of
from services.gateway.cli.get import ResourceOption
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption, show, who


def run(
    module: ModuleOption,
    resource: ResourceOption,
    value: Annotated[str, typer.Option("-v", "--value", metavar="VALUE", help="up, down, or any text.")],
    identity: IdentityOption = "",
    no_log: Annotated[bool, typer.Option("-n", help="Leave it out of the log.")] = False,
    log: Annotated[bool, typer.Option("-l", help="Tell it in the log even when the value is the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Assign a resource, as custom checkers do. The log tells it when the value is new.

    Example: holdfast set -m shop -r custom.disk -v down
    """
    body = {"value": value, "by": identity or who(), "log": "no" if no_log else ("always" if log else "")}
    show(call("PUT", path_of("modules", module, "resources", resource), body), as_json=as_json)
