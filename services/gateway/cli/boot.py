"""`holdfast boot`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, show, table
from services.gateway.cli.state import ModuleChoice


class What(StrEnum):
    """What may follow the word boot."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


WhatArgument = Annotated[What, typer.Argument(metavar="on|off|status")]


def run(what: WhatArgument, module: ModuleChoice = "", as_json: JsonOption = False) -> None:
    """Choose whether modules start with the node, or say what its next start does.

    Counts where the configuration leaves it open (boot="ignore", the default). Until somebody chooses, a module that
    was running when the node went down starts again.

    Example: holdfast boot on -m shop
    """
    if what is What.STATUS:
        infos = _asked(module)
    else:
        names = [module] if module else [str(info["module"]) for info in _asked("") if info["policy"] == "ignore"]
        infos = [_chosen(name, what is What.ON) for name in names]
    head = ("MODULE", "AT START", "CONFIGURATION", "COMMAND", "DELAY")
    rows = [tuple(str(info[key]) or "-" for key in ("module", "at_start", "policy", "chosen")) for info in infos]
    delayed = [(*row, f"{info['delay_s']} s") for row, info in zip(rows, infos, strict=True)]
    show(infos[0] if module else infos, as_json=as_json, text=table([head, *delayed]))


def _asked(module: str) -> list[Json]:
    if node_is_running():
        return [call("GET", path_of("modules", module, "boot"))] if module else list(call("GET", "boot"))
    from services.gateway.files import boot

    settings = load_settings()
    return [asdict(each) for each in ([boot.boot_info(settings, module)] if module else boot.boot_infos(settings))]


def _chosen(module: str, value: bool) -> Json:
    if node_is_running():
        return call("PUT", path_of("modules", module, "boot"), {"value": value})
    from services.gateway.files import boot

    return asdict(boot.choose_boot(load_settings(), module, value))
