"""The harness that every service runs in: settings, logs, bus, readiness, lease, orderly end, exit codes."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from holdfast.bus.nats import NatsBus
from holdfast.clock import HybridClock, SystemClock
from holdfast.errors import ExitCode, HoldfastError
from holdfast.service.context import Context
from holdfast.service.logs import configure_logs
from holdfast.service.notify import Notifier
from holdfast.settings import load_settings

Main = Callable[[Context], Awaitable[None]]
"""Sets the service up (subscribe to orders, start tasks), then returns when `context.stopping` is set."""

LEASE_INTERVAL_S = 1.0
ORPHAN_GRACE_S = 2.0
"""How long a service may take to let go of what it holds after its supervisor died."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""

log = logging.getLogger("holdfast.service")


def run_service(name: str, main: Main) -> int:
    """Run one service until SIGTERM, the end of its supervisor or a failure; return the process's exit code.

    `name` is the service's (instance) name on the bus, such as `vip` or `rfs@shop`. When the supervisor dies the kernel
    sends SIGTERM, so an orphan ends like a service that is stopped, after letting go of what it holds.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        settings = load_settings()
        configure_logs(settings, name)
        return asyncio.run(_run(name, main))
    except HoldfastError as error:
        log.error("%s ends: %s", name, error)
        return int(error.exit_code)
    except Exception:  # the one broad handler: log, and let the supervisor restart us
        log.exception("%s failed", name)
        return int(ExitCode.INVARIANT)


async def _run(name: str, main: Main) -> int:
    settings = load_settings()
    clock = SystemClock()
    context = Context(
        name=name,
        settings=settings,
        bus=await NatsBus.connect(settings.run_dir, name),
        clock=clock,
        hybrid=HybridClock(clock),
        notifier=Notifier(),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, context.stopping.set)
    lease = loop.create_task(_renew_lease(context))
    await context.listen_for_reports()
    context.bus.on_reconnected(context.announce)
    work = loop.create_task(_started(context, main))
    stop = loop.create_task(context.stopping.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        else:
            await asyncio.wait_for(work, ORPHAN_GRACE_S if os.getppid() == 1 else None)
    finally:
        context.stopping.set()
        lease.cancel()
        stop.cancel()
        context.notifier.stopping()
        await context.bus.close()
    return int(ExitCode.OK)


async def _started(context: Context, main: Main) -> None:
    """Run `main` beside the announcement that follows its set-up."""
    await main(context)


async def _renew_lease(context: Context) -> None:
    while True:
        context.notifier.lease()
        await asyncio.sleep(LEASE_INTERVAL_S)


async def ready(context: Context) -> None:
    """To be awaited by a service's main when its subscriptions stand: tells supervisor and state machine."""
    context.notifier.ready()
    await context.announce()


def exit_with(code: int) -> None:
    """End the process at once with `code`, flushing the diagnostic streams."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
