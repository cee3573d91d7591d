"""`holdfast kill`."""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from typing import Annotated

import typer
from holdfast.scripting.processes import Level

from services.gateway.cli.client import Json, call, node_is_running
from services.gateway.cli.options import show, table

CONTEXT = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""No option of one letter is known, so that none is seen among the letters of -name."""


def run(
    words: Annotated[list[str] | None, typer.Argument(metavar="-name=NAME -argregex=EXPR -level=LEVEL")] = None,
) -> None:
    """Send a signal to processes of this node by command name, argument list (a POSIX extended expression), or both.

    LEVEL is test (only list them, the default), terminate or 15, or 9. Holdfast's own processes are left alone.

    Example: holdfast kill -name=shopd -argregex=--port.8080 -level=9
    """
    asked = _parsed(words or [])
    sought = {"name": asked.name, "argument_regex": asked.argregex, "level": asked.level, "asking": os.getpid()}
    found = call("POST", "processes/kill", sought) if node_is_running() else _directly(sought)
    rows = [(str(each["pid"]), "sent" if each["signalled"] else "-", each["name"], each["arguments"]) for each in found]
    show(found, as_json=asked.json, text=table([("PID", "SIGNAL", "NAME", "ARGUMENTS"), *rows]))


def _parsed(words: list[str]) -> argparse.Namespace:
    """The model writes long options with one dash, which the usual library does not read."""
    parser = argparse.ArgumentParser(prog="holdfast kill", add_help=False, allow_abbrev=False)
    parser.add_argument("-name", "--name", default="")
    parser.add_argument("-argregex", "--argregex", default="")
    parser.add_argument("-level", "--level", choices=[level.value for level in Level], default=Level.TEST.value)
    parser.add_argument("-m", "--module", default="", help="accepted: processes belong to the node")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def _directly(sought: Json) -> list[Json]:
    from services.gateway.ending import find_and_end

    found = find_and_end(
        name=sought["name"],
        argument_regex=sought["argument_regex"],
        level=Level(sought["level"]),
        asking=(sought["asking"],),
    )
    return [asdict(each) for each in found]


run.context_settings = CONTEXT  # type: ignore[attr-defined]
