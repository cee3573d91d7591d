"""`holdfast dump`."""

from __future__ import annotations

from datetime import UTC, datetime

from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show

DUMP_S_MAX = 300.0


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Write a dump of a module on this node: logs, resources, history, system state. The last three are kept.

    Exit codes: 0 written, 5 no such module, 8 it cannot be written.

    Example: holdfast dump -m shop
    """
    if node_is_running():
        made = call("POST", path_of("modules", module, "dump"), timeout_s=DUMP_S_MAX)
    else:
        from services.gateway.support.dump import Told, make_dump

        directory = make_dump(load_settings(), module, Told(), datetime.now(UTC))
        made = {"module": module, "directory": str(directory)}
    show(made, as_json=as_json, text=made["directory"])
