"""`holdfast state`."""

from __future__ import annotations

from typing import Annotated

import typer
from holdfast.errors import ExitCode, NotFoundError, OperatorError

from services.gateway.cli.client import Json, call, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, configuration_lines, show, stamp, table

EXIT = {"STOP": 0, "WAIT": 1, "ALONE": 2, "UP": 2, "PRIM": 3, "SECOND": 4}
"""What the model's `state -lq` returns."""

ModuleChoice = Annotated[
    str, typer.Option("-m", "--module", envvar="SAFEMODULE", metavar="AM", help="One module, else all.")
]


def run(
    module: ModuleChoice = "",
    verbose: Annotated[bool, typer.Option("-v", help="List the resources with value and date.")] = False,
    local: Annotated[bool, typer.Option("-l", help="This node only (the only kind there is now).")] = False,
    quiet: Annotated[bool, typer.Option("-q", help="Print the state alone, and return it as exit code.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what modules are now. With -q: exit code 0 STOP, 1 WAIT, 2 ALONE or UP, 3 PRIM, 4 SECOND.

    With -v a module's own script state is run too.

    Example: holdfast state -m shop -v
    """
    if quiet and not module:
        raise OperatorError("-q needs a module", hint="holdfast state -m AM -lq")
    if not module:
        states = call("GET", "state")
        show(states, as_json=as_json, text=_lines(states) or "no module is configured")
        return
    detail = {"detail": True} if verbose or (as_json and not quiet) else {}
    state = call("GET", path_of("modules", module, "state"), query=detail)
    if quiet:
        show(state, as_json=as_json, text=f"{state['role']} {state['status']}")
        raise typer.Exit(EXIT.get(state["role"], 1))
    show(state, as_json=as_json, text=_lines([state]) + (_details(state) if verbose else ""))
    if verbose and not as_json:
        _run_script(module)


def _run_script(module: str) -> None:
    """The module's own script `state`, when it has one, adds to what the command says."""
    try:
        ran = call("POST", path_of("modules", module, "scripts", "state"), timeout_s=SCRIPTS_S_MAX)
    except NotFoundError:
        return
    typer.echo(ran["output"], nl=False)
    if ran["exit_code"] != 0:
        raise typer.Exit(int(ExitCode.FAILED))


def _lines(states: list[Json]) -> str:
    return table([(s["module"], f"{s['role']} {s['status']}", _copy(s), _peer(s), _why(s)) for s in states])


def _details(state: Json) -> str:
    configuration = state.get("configuration")
    known = isinstance(configuration, dict) and "current" in configuration
    return f"\n{_resources(state)}" + (f"\nconfiguration\n{configuration_lines(configuration)}" if known else "")


def _copy(state: Json) -> str:
    return str(state.get("copy", ""))


def _peer(state: Json) -> str:
    peer = state.get("peer")
    if not isinstance(peer, dict):
        return ""
    what = f"{peer.get('role', '')} {peer.get('status', '')}".strip()
    return f"{peer.get('node', 'peer')}: {what or peer.get('presence', 'unknown')}"


def _why(state: Json) -> str:
    waiting = state.get("waiting_for")
    return f"waits for: {waiting}" if waiting else str(state.get("reason", ""))


def _resources(state: Json) -> str:
    found = state.get("resources", {})
    rows = [(f"  {name}", str(r["value"]), stamp(r["at_wall_ns"]), str(r["by"])) for name, r in sorted(found.items())]
    return table(rows)
