"""`holdfast stop`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Stop a module on this node; the other node takes over when it can.

    Example: holdfast stop -m shop
    """
    ask(module, "stop", identity=identity, as_json=as_json)
