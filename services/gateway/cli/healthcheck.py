"""`holdfast healthcheck`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import EnvironmentFaultError, ExitCode
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running
from services.gateway.cli.options import JsonOption, show


def run(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Write the report there too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine this node: paths, configuration, services, disk, clock, kernel, encryption. Works while it does not run.

    Lines: OK, WARN or ERROR | subject | what was found (and what to do).

    Exit codes: 0 nothing worse than WARN, 1 an ERROR, 8 FILE cannot be written.

    Example: holdfast healthcheck /tmp/health.txt
    """
    health = call("GET", "healthcheck") if node_is_running() else _here()
    text = "\n".join([*(_line(finding) for finding in health["findings"]), f"result: {health['result']}"])
    show(health, as_json=as_json, text=text)
    if file is not None:
        try:
            file.write_text(f"{text}\n")
        except OSError as error:
            raise EnvironmentFaultError(f"{file}: {error.strerror}", hint="a path that can be written") from error
    if health["result"] == "ERROR":
        raise typer.Exit(int(ExitCode.FAILED))


def _line(finding: Json) -> str:
    advice = f" ({finding['help']})" if finding["help"] else ""
    return f"{finding['verdict']:<5} | {finding['subject']} | {finding['text']}{advice}"


def _here() -> Json:
    from services.gateway.support.health import Observed, examine_health, worst

    findings = examine_health(load_settings(), Observed())
    return {"result": worst(findings).value, "findings": [asdict(finding) for finding in findings]}
