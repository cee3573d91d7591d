"""`holdfast forcestop`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Stop a module at once, without waiting for its scripts.

    Example: holdfast forcestop -m shop
    """
    ask(module, "forcestop", identity=identity, as_json=as_json)
