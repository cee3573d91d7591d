"""Resource `intf.<ident>`: up while an interface is up and has carrier, by the kernel's own notifications."""

from __future__ import annotations

import asyncio
import time

from holdfast.events.module import InterfaceWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context

from services.checkers.core import Health, Policy, is_recovering, judge
from services.checkers.intf.choosing import look
from services.checkers.links import Links, news_within
from services.checkers.service import Checker, Say, serve_beside

RECOVER_MS = 500
"""A cable that is plugged in makes contact several times; a module that wakes up must not fall back at once."""
POLICY = Policy(recover_ms=RECOVER_MS)


async def watch_interface(watch: InterfaceWatch, say: Say, links: Links) -> None:
    """Judge every reading; for ever."""
    health = Health()
    news = asyncio.Event()
    with links.heard_by(news):
        while True:
            if links.interfaces is not None:
                health = judge(health, look(watch, links.interfaces), time.monotonic_ns() // 1_000_000, POLICY)
                await say(health.value)
            await news_within(news, RECOVER_MS / 1000 if is_recovering(health) else None)


async def serve(context: Context) -> None:
    links = Links()

    async def watcher(_module: ModuleId, watch: InterfaceWatch, say: Say) -> None:
        await watch_interface(watch, say, links)

    checker = Checker[InterfaceWatch](context, part=lambda order: order.interfaces, watcher=watcher)
    await serve_beside(context, links.keep_reading(), checker)
