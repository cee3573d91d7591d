"""`holdfast primforce`."""

from __future__ import annotations

from services.gateway.cli.asking import ask
from services.gateway.cli.options import IdentityOption, JsonOption, ModuleOption


def run(module: ModuleOption, identity: IdentityOption = "", as_json: JsonOption = False) -> None:
    """Start as primary even when this copy was being resynchronised and may be half of each: the last way out.

    The same as prim force. The other node's copy becomes the older one.

    Example: holdfast primforce -m shop
    """
    ask(module, "prim", argument="force", identity=identity, as_json=as_json)
