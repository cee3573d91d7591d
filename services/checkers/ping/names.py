"""Host names to addresses, in the background: no watch waits for a name server longer than for its target."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address

KEPT_S = 60.0
"""After this an address is looked up again, while the one that is known goes on being used."""
DOUBTED_S = 5.0
"""The same for the address of a target that did not answer: it may have moved."""
NAMES_MAX = 1024


@dataclass(frozen=True, kw_only=True)
class Target:
    is_ipv6: bool
    address: str


@dataclass(frozen=True, kw_only=True)
class _Known:
    target: Target
    at_s: float


class Names:
    """Keeps what names meant, and at most one look-up of each under way."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def find(self, name: str, *, is_doubted: bool = False) -> Target | None:
        """Return where to send; waits only for a name of which nothing is known. None: it has no address."""
        literal = _literal(name)
        if literal is not None:
            return literal
        known = self._known.get(name)
        kept_s = DOUBTED_S if is_doubted else KEPT_S
        if known is None or time.monotonic() - known.at_s > kept_s:
            look_up = self._look_up(name)
            if known is None:
                await asyncio.shield(look_up)
                known = self._known.get(name)
        return known.target if known is not None else None

    def _look_up(self, name: str) -> asyncio.Task[None]:
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(name))
            self._under_way[name] = task
            task.add_done_callback(lambda _task: self._under_way.pop(name, None))
        return task

    async def _ask(self, name: str) -> None:
        """In a thread of the loop's, because the C library's resolver waits."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, 0, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return
        targets = (_literal(str(address[0])) for _, _, _, _, address in found)
        target = next((target for target in targets if target is not None), None)
        if target is not None and (name in self._known or len(self._known) < NAMES_MAX):
            self._known[name] = _Known(target=target, at_s=time.monotonic())


def _literal(text: str) -> Target | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return Target(is_ipv6=address.version == 6, address=text)
