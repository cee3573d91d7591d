"""Which services there are, and where their `main` is."""

from __future__ import annotations

import re
from typing import NamedTuple

ALWAYS = ("heartbeat", "statemachine", "vip", "scripts", "gateway")
"""Run on every node, in the order in which they are started: those that others wait for come first."""

MODULES: dict[str, str] = {
    "heartbeat": "services.heartbeat.__main__",
    "statemachine": "services.statemachine.__main__",
    "scripts": "services.scripts.__main__",
    "vip": "services.vip.__main__",
    "gateway": "services.gateway.__main__",
    "rfs": "services.rfs.__main__",
    "checker-process": "services.checkers.process.__main__",
    "checker-tcp": "services.checkers.tcp.__main__",
}
"""Kind of service to the Python module whose `main` runs it; `rfs@shop` is the instance `shop` of the kind `rfs`."""

_NAME = re.compile(r"[a-z][a-z-]{0,31}(@[A-Za-z0-9_-]{1,64})?\Z")


class Target(NamedTuple):
    """What to run for a service name: `main` of `module`, told its instance name `name`."""

    name: str
    module: str


def find(name: str) -> Target | None:
    """Return what runs the service `name`, or None when no such kind exists."""
    if not _NAME.match(name):
        return None
    module = MODULES.get(name.partition("@")[0])
    return Target(name, module) if module else None
