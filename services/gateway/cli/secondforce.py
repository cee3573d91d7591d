"""`holdfast secondforce`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from holdfast.errors import OperatorError

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption

DateOption = Annotated[str, typer.Option("-d", "--date", metavar="DATE", help="Since when files have changed.")]


def run(
    module: ModuleOption, date: DateOption = "", identity: IdentityOption = "", as_json: JsonOption = False
) -> None:
    """Start as secondary. A date is accepted and not needed: what changed is known, and exactly that is copied.

    Example: holdfast secondforce -m shop -d 2026-05-01T10:00:00Z
    """
    if date:
        try:
            datetime.fromisoformat(date)
        except ValueError:
            raise OperatorError(f"{date!r} is not a date", hint="2026-05-01T10:00:00Z") from None
        typer.echo("note: what changed is known; it is copied, whatever its date", err=True)
    ask(module, "second", identity=identity, as_json=as_json)
