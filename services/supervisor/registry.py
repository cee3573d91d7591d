"""Which services there are, and where their `main` is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_NAME = re.compile(r"[a-z][a-z-]{0,31}(@[A-Za-z0-9_-]{1,64})?\Z")


class Target(NamedTuple):
    """What to run for a service name: `main` of `module`, told its instance name `name`."""

    name: str
    module: str


@dataclass(frozen=True, kw_only=True)
class Registry:
    """always: run on every node, in the order in which they are started: those that others wait for come first.

    modules: kind of service to the Python module whose `main` runs it; `rfs@shop` is instance `shop` of the kind `rfs`.
    """

    always: tuple[str, ...]
    modules: Mapping[str, str]

    def find(self, name: str) -> Target | None:
        """Return what runs the service `name`, or None when no such kind exists."""
        if not _NAME.match(name):
            return None
        module = self.modules.get(name.partition("@")[0])
        return Target(name, module) if module else None


SERVICES = Registry(
    always=("heartbeat", "statemachine", "vip", "scripts", "gateway"),
    modules={
        "heartbeat": "services.heartbeat.__main__",
        "statemachine": "services.statemachine.__main__",
        "scripts": "services.scripts.__main__",
        "vip": "services.vip.__main__",
        "gateway": "services.gateway.__main__",
        "mail": "services.mail.__main__",
        "rfs": "services.rfs.__main__",
        "checker-process": "services.checkers.process.__main__",
        "checker-tcp": "services.checkers.tcp.__main__",
        "checker-ping": "services.checkers.ping.__main__",
        "checker-intf": "services.checkers.intf.__main__",
        "checker-ip": "services.checkers.ip.__main__",
        "checker-custom": "services.checkers.custom.__main__",
        "checker-module": "services.checkers.module.__main__",
        "checker-splitbrain": "services.checkers.splitbrain.__main__",
    },
)
