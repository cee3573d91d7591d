"""Resource `module.<ident>`: up while another module serves, on this node or wherever a gateway answers.

When that one has been restarted, or has failed over, between two looks, the resource goes down and up again: whoever
depends on it then starts anew, too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import quote

from holdfast.events.module import ModuleWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.settings import NodeSettings

from services.checkers.core import Value
from services.checkers.module.gateway import AnswerError, Place, get
from services.checkers.module.seen import Seen, is_another, is_kept_back, of_probe, of_state
from services.checkers.service import Checker, Say, serve_checker

AGAIN_S = 0.5
"""While the resource is down: whoever waits for the other module wants to go on soon after it."""
INTERVAL_S_MIN = 0.05
TIMEOUT_S_MIN = 0.05

log = logging.getLogger("holdfast.checkers")


async def look_once(watch: ModuleWatch, settings: NodeSettings) -> Seen:
    """One look, of at most the timeout."""
    place = Place(host=watch.address, port=watch.port, secure=watch.secure)
    if not watch.address:
        place = Place(socket=settings.run_dir / "gateway.sock")
    name = quote(watch.name, safe="")
    try:
        async with asyncio.timeout(max(watch.timeout_ms / 1000, TIMEOUT_S_MIN)):
            answer = await get(place, f"/api/v1/modules/{name}/state")
            if not is_kept_back(answer):
                return of_state(answer)
            return of_probe(await get(place, f"/var/modules/{name}/ready.txt"))
    except (TimeoutError, OSError, UnicodeError, AnswerError) as error:
        log.debug("module %s at %s: %s", watch.name, watch.address or "this node", error or "no answer in time")
        return Seen(serves=False)


async def watch_module(watch: ModuleWatch, say: Say, settings: NodeSettings) -> None:
    """Look for ever, each look an interval after the last one began."""
    interval_s = max(watch.interval_ms / 1000, INTERVAL_S_MIN)
    last_served: Seen | None = None
    while True:
        began_at = time.monotonic()
        seen = await look_once(watch, settings)
        if is_another(last_served, seen):
            log.info("module %s was restarted or has failed over", watch.name)
            await say(Value.DOWN)
        await say(Value.UP if seen.serves else Value.DOWN)
        if seen.serves:
            last_served = seen
        pause_s = interval_s if seen.serves else min(interval_s, AGAIN_S)
        await asyncio.sleep(max(began_at + pause_s - time.monotonic(), INTERVAL_S_MIN))


async def serve(context: Context) -> None:
    async def watcher(_module: ModuleId, watch: ModuleWatch, say: Say) -> None:
        await watch_module(watch, say, context.settings)

    checker = Checker[ModuleWatch](context, part=lambda order: order.modules, watcher=watcher)
    await serve_checker(context, checker)
