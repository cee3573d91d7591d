"""`holdfast waitstate`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from holdfast.errors import ExitCode

from services.gateway.cli.options import JsonOption, ModuleOption, show
from services.gateway.cli.waiting import TimeoutOption, wait


class Role(StrEnum):
    """States that can be waited for."""

    STOP = "STOP"
    WAIT = "WAIT"
    ALONE = "ALONE"
    UP = "UP"
    PRIM = "PRIM"
    SECOND = "SECOND"


def run(
    role: Annotated[Role, typer.Argument(metavar="STATE", case_sensitive=False, help="|".join(Role))],
    module: ModuleOption,
    ready: Annotated[bool, typer.Option("--ready", help="And Ready in it.")] = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until a module has reached a state; exit code 3 when it has not in time.

    Example: holdfast waitstate -m shop SECOND --ready --timeout 120
    """
    answer = wait(module, "wait", {"role": role.value, "ready": ready}, timeout)
    state = answer["state"]
    show(answer, as_json=as_json, text=f"{module}: {state['role']} {state['status']}")
    raise typer.Exit(int(ExitCode.OK if answer["reached"] else ExitCode.TIMEOUT))
