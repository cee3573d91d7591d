"""`holdfast errd`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from holdfast.errors import OperatorError

from services.gateway.cli.asking import switch
from services.gateway.cli.client import Json, call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show, table


class What(StrEnum):
    """What may follow the word errd."""

    ON = "on"
    OFF = "off"
    LIST = "list"
    ENABLE = "enable"
    DISABLE = "disable"
    RESUME = "resume"
    SUSPEND = "suspend"


WORDS = "on|off|list|enable|disable"
"""What is shown; suspend and resume are the model's older words for off and on."""
WhatArgument = Annotated[What, typer.Argument(metavar=WORDS)]
ClassArgument = Annotated[str, typer.Argument(metavar="[CLASS]", help="With enable and disable: which processes.")]


def run(
    module: ModuleOption, what: WhatArgument, process_class: ClassArgument = "", as_json: JsonOption = False
) -> None:
    """Switch process monitoring, or one class of processes, on or off; list what is monitored.

    Possible while the module is stopped; holds over stop and start until the configuration is applied anew.

    Example: holdfast errd disable prim -m shop
    """
    if bool(process_class) is not (what in (What.ENABLE, What.DISABLE)):
        raise OperatorError("enable and disable need a class, nothing else takes one", hint=f"holdfast errd {WORDS}")
    match what:
        case What.LIST:
            found = call("GET", path_of("modules", module, "processes"))
            show(found, as_json=as_json, text=_text(found))
        case What.ENABLE | What.DISABLE:
            value = "on" if what is What.ENABLE else "off"
            switch(module, f"errd.{process_class}", value, as_json=as_json)
        case What.ON | What.RESUME:
            switch(module, "errd", "on", as_json=as_json)
        case What.OFF | What.SUSPEND:
            switch(module, "errd", "off", as_json=as_json)


def _text(found: Json) -> str:
    head = ("PROCESS", "CLASS", "ACTION", "AT LEAST", "WATCHED", "VALUE")
    rows = [
        (
            each["name"],
            each["process_class"] + ("" if each["class_on"] else " (off)"),
            each["action"],
            str(each["at_least"]),
            "yes" if each["watched"] else "no",
            each["value"] or "-",
        )
        for each in found["processes"]
    ]
    return table([head, *rows]) if rows else "no process is monitored"
