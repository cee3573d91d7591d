"""Resource `ip.<address>`: up while this node has the address and nobody else answers for it.

The vip service puts an address back that somebody took away, within milliseconds. Only an address that stays away, or
that another owner keeps answering for, is down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from holdfast.events.module import AddressWatch
from holdfast.ids import ModuleId
from holdfast.links.model import Address, Interface, find, is_present, parse
from holdfast.service.context import Context

from services.checkers.core import Health, Look, Policy, is_doubtful, judge
from services.checkers.ip.owner import OtherOwner
from services.checkers.links import Links, news_within
from services.checkers.service import Checker, Say, serve_beside

AWAY_S = 0.3
"""How long an address may be away until it counts as lost: thirty times what putting it back takes."""
CLAIMS = 3
"""Answers of another owner in a row: a node that has just been taken over from lets go after the first."""
ASK_AGAIN_S = 1.0
ANSWER_S = 0.5
"""A neighbour on the same network answers within milliseconds, a loaded one within this."""
SETTLE_MS = 1000
INTERVAL_S_MIN = 0.1
POLICY = Policy(failures=CLAIMS, settle_ms=SETTLE_MS)

log = logging.getLogger("holdfast.checkers")


@dataclass(kw_only=True)
class _Eye:
    """What one watch looks with."""

    address: Address
    links: Links
    news: asyncio.Event = field(default_factory=asyncio.Event)
    other: OtherOwner | None = None

    async def look(self) -> Look:
        """Present? Then ask for another owner."""
        if not await self._is_here():
            return Look.PROVED_DOWN
        other = self._listener()
        hardware = await other.ask(ANSWER_S) if other is not None else ""
        if not hardware:
            return Look.PASSED
        log.warning("%s is also claimed by %s", self.address, hardware)
        return Look.FAILED

    def close(self) -> None:
        if self.other is not None:
            self.other.close()
            self.other = None

    async def _is_here(self) -> bool:
        """Whether the address is there, or comes back soon."""
        end = time.monotonic() + AWAY_S
        while not is_present(self.address, self.links.interfaces or ()):
            left_s = end - time.monotonic()
            if left_s <= 0 or not await news_within(self.news, left_s):
                return is_present(self.address, self.links.interfaces or ())
        return True

    def _listener(self) -> OtherOwner | None:
        """Listen where the address is; nowhere when that interface has no neighbours."""
        interface = self._holder()
        if self.other is not None and _place(self.other.interface) != _place(interface):
            self.close()
        if self.other is None and interface is not None and interface.hardware:
            try:
                self.other = OtherOwner(interface, self.address, self.news)
            except OSError as error:
                log.error("another owner of %s cannot be looked for on %s: %s", self.address, interface.name, error)
        return self.other

    def _holder(self) -> Interface | None:
        return next((each for each in self.links.interfaces or () if find(each, self.address) is not None), None)


def _place(interface: Interface | None) -> tuple[int, bytes] | None:
    return (interface.index, interface.hardware) if interface is not None else None


async def watch_address(watch: AddressWatch, say: Say, links: Links) -> None:
    """Look at once, at every change and claim, and every interval; for ever."""
    address = parse(watch.address)
    assert address is not None, "the configuration takes no other text"
    health = Health()
    eye = _Eye(address=address, links=links)
    interval_s = max(watch.interval_ms / 1000, INTERVAL_S_MIN)
    try:
        with links.heard_by(eye.news):
            while links.interfaces is None:
                await news_within(eye.news, None)
            while True:
                look = await eye.look()
                health = judge(health, look, time.monotonic_ns() // 1_000_000, POLICY)
                await say(health.value)
                if is_doubtful(health):
                    await asyncio.sleep(min(interval_s, ASK_AGAIN_S))
                else:
                    await news_within(eye.news, interval_s)
    finally:
        eye.close()


async def serve(context: Context) -> None:
    links = Links()

    async def watcher(_module: ModuleId, watch: AddressWatch, say: Say) -> None:
        await watch_address(watch, say, links)

    checker = Checker[AddressWatch](context, part=lambda order: order.addresses, watcher=watcher)
    await serve_beside(context, links.keep_reading(), checker)
