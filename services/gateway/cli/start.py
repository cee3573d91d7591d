"""`holdfast start`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Start a module on this node.

    Example: holdfast start -m shop
    """
    ask(module, "start", identity=identity, as_json=as_json)
