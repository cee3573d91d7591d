"""`holdfast deconfig`."""

from __future__ import annotations

from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Take a module's configuration out of force; its edited files and its data stay.

    Example: holdfast deconfig -m shop
    """
    if node_is_running():
        call("DELETE", path_of("modules", module, "configuration"))
    else:
        from services.gateway.files.applying import take_away, throw_away

        throw_away(take_away(load_settings(), module))
    show({"module": module}, as_json=as_json, text=f"{module}: not configured any more")
