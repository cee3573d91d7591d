"""`holdfast deconfig`."""

from __future__ import annotations

from dataclasses import asdict

from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running, path_of
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, ModuleOption, show, show_scripts


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Take a module's configuration out of force; its edited files and its data stay. Its script deconfig runs before.

    Example: holdfast deconfig -m shop
    """
    if node_is_running():
        removed = call("DELETE", path_of("modules", module, "configuration"), timeout_s=SCRIPTS_S_MAX)
    else:
        removed = _directly(module)
    show_scripts(removed["scripts"])
    show(removed, as_json=as_json, text=f"{module}: not configured any more")


def _directly(module: str) -> Json:
    from services.gateway.files.applying import remove_offline

    return {"module": module, "scripts": [asdict(ran) for ran in remove_offline(load_settings(), module)]}
