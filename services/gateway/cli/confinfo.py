"""`holdfast confinfo`."""

from __future__ import annotations

from dataclasses import asdict

from holdfast.settings import load_settings

from services.gateway.cli.client import call, node_is_running, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, configuration_lines, show


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Print signature and date of a module's configuration in force, of the edited one, and those that are kept.

    Example: holdfast confinfo -m shop
    """
    if node_is_running():
        info = call("GET", path_of("modules", module, "configuration"))
    else:
        from services.gateway.files.information import configuration_info

        info = asdict(configuration_info(load_settings(), module))
    show(info, as_json=as_json, text=configuration_lines(info))
