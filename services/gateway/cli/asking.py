"""Sends an action to a module: what start, stop, swap … have in common."""

from __future__ import annotations

from services.gateway.cli.client import call, path_of
from services.gateway.cli.options import show, who


def ask(module: str, action: str, *, argument: str = "", identity: str = "", as_json: bool = False) -> None:
    """Ask for an action; raises RefusedError with the reason."""
    body = {"action": action, "argument": argument, "identity": identity, "who": who()}
    answer = call("POST", path_of("modules", module, "commands"), body)
    show(answer, as_json=as_json, text=f"{module}: {action} accepted")


def switch(module: str, setting: str, value: str, *, as_json: bool = False) -> None:
    """Switch a setting on or off."""
    body = {"value": value == "on", "who": who()}
    answer = call("PUT", path_of("modules", module, "settings", setting), body)
    show(answer, as_json=as_json, text=f"{module}: {setting} is {value}")
