"""`holdfast wrapper`: what `AM_start_wrapper` and `AM_stop_wrapper` do."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from holdfast.errors import ExitCode, NotFoundError, RefusedError
from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show, show_scripts

REMINDER = "nobody keeps track of the data now: start the module with prim on the node that has the wanted ones"


class Verb(StrEnum):
    """What may follow the word wrapper."""

    START = "start"
    STOP = "stop"


VerbArgument = Annotated[Verb, typer.Argument(metavar="start|stop")]


def run(verb: VerbArgument, module: ModuleOption, as_json: JsonOption = False) -> None:
    """Run the application of a stopped module by hand: its virtual addresses and start scripts, or the reverse.

    Replication and checkers stay off. Works without a running node too.

    Example: holdfast wrapper start -m shop
    """
    _check_stopped(module)
    from services.gateway.files.wrapping import wrapped_start, wrapped_stop

    done = asdict((wrapped_start if verb is Verb.START else wrapped_stop)(load_settings(), module))
    show_scripts(done["scripts"])
    what = "has" if verb is Verb.START else "has given up"
    show(done, as_json=as_json, text=f"{module}: this node {what} {', '.join(done['addresses']) or 'no address'}")
    if verb is Verb.START:
        typer.echo(f"note: {REMINDER}", err=True)
    if any(ran["exit_code"] != 0 for ran in done["scripts"]):
        raise typer.Exit(int(ExitCode.FAILED))


def _check_stopped(module: str) -> None:
    """The state machine would do something else with the same application."""
    if not node_is_running():
        return
    try:
        state = call("GET", path_of("modules", module, "state"))
    except NotFoundError:
        return
    if (state["role"], state["status"]) != ("STOP", "NotReady"):
        raise RefusedError(f"module {module} is {state['role']} {state['status']}", hint="stop it first")
