"""`holdfast stopstart`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Stop a module and start it again; a ready secondary takes over.

    Example: holdfast stopstart -m shop
    """
    ask(module, "stopstart", identity=identity, as_json=as_json)
