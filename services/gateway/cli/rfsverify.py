"""`holdfast rfsverify`."""

from __future__ import annotations

import typer
from holdfast.errors import EnvironmentFaultError, ExitCode

from services.gateway.cli.client import Json, call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Compare both copies of the replicated directories, byte for byte; exit code 10 when they differ.

    Ask either node, the answer is the same.

    Example: holdfast rfsverify -m shop
    """
    outcome = call("POST", path_of("modules", module, "verify"), {}, timeout_s=None)
    if outcome["error"]:
        raise EnvironmentFaultError(f"the replicas could not be compared: {outcome['error']}")
    show(outcome, as_json=as_json, text=_text(outcome))
    raise typer.Exit(int(ExitCode.OK if outcome["equal"] else ExitCode.DIFFERENCES))


def _text(outcome: Json) -> str:
    lines = [f"{difference['path']}: {difference['what']}" for difference in outcome.get("differences", ())]
    more = outcome.get("differences_total", 0) - len(lines)
    if more > 0:
        lines.append(f"… and {more} more")
    what = "equal" if outcome["equal"] else f"different in {outcome.get('differences_total', 0)} places"
    return "\n".join([*lines, f"replicas are {what}: {outcome['files']} files, {outcome['bytes']} bytes compared"])
