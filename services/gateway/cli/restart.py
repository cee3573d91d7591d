"""`holdfast restart`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Stop and start the application; role and virtual addresses stay.

    Example: holdfast restart -m shop
    """
    ask(module, "restart", identity=identity, as_json=as_json)
