"""Resource `tcp.<ident>`: up while a connection to an address and port can be made."""

from __future__ import annotations

import asyncio
import contextlib
import time

from holdfast.events.module import TcpWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context

from services.checkers.core import Health, Look, Policy, Value, is_doubtful, judge
from services.checkers.service import Checker, Say, serve_checker

FAILURES = 2
"""One refused connection may be a full backlog or a reload; the second look follows at once."""
CONFIRM_MS = 200
SETTLE_LOOK_MS = 250
INTERVAL_MS_MIN = 10
TIMEOUT_MS_MIN = 10


async def look_once(watch: TcpWatch) -> Look:
    """Connect and close at once; no answer within the timeout is proof, a refusal is not yet."""
    timeout_s = max(watch.timeout_ms, TIMEOUT_MS_MIN) / 1000
    try:
        async with asyncio.timeout(timeout_s):
            _reader, writer = await asyncio.open_connection(watch.address, watch.port, limit=1)
    except TimeoutError:
        return Look.PROVED_DOWN
    except (OSError, ValueError, UnicodeError):
        return Look.FAILED
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Look.PASSED


def pause_ms(health: Health, watch: TcpWatch) -> int:
    """Until the next look: the interval, but soon when another look settles a doubt."""
    interval_ms = max(watch.interval_ms, INTERVAL_MS_MIN)
    if not is_doubtful(health):
        return interval_ms
    return min(interval_ms, CONFIRM_MS if health.value is Value.UP else SETTLE_LOOK_MS)


async def watch_port(_module: ModuleId, watch: TcpWatch, say: Say) -> None:
    """Look for ever; the first look is at once, and an application that opens its port late has one interval for it."""
    policy = Policy(failures=FAILURES, settle_ms=watch.interval_ms)
    health = Health()
    while True:
        look = await look_once(watch)
        health = judge(health, look, time.monotonic_ns() // 1_000_000, policy)
        await say(health.value)
        await asyncio.sleep(pause_ms(health, watch) / 1000)


async def serve(context: Context) -> None:
    checker = Checker[TcpWatch](context, part=lambda order: order.tcp, watcher=watch_port)
    await serve_checker(context, checker)
