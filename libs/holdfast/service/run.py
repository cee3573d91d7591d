"""The harness that every service runs in: settings, logs, bus, readiness, lease, orderly end, exit codes."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
from collections.abc import Awaitable, Callable

from holdfast.bus.nats import NatsBus
from holdfast.clock import HybridClock, SystemClock
from holdfast.errors import ExitCode, HoldfastError, InvariantError
from holdfast.service.context import Context
from holdfast.service.logs import configure_logs
from holdfast.service.notify import Notifier
from holdfast.settings import NodeSettings, load_settings

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
    sends SIGTERM, so an orphan ends like a service that is stopped, after letting go of what it holds. A service that
    is stopped takes the time it needs, and the supervisor kills it when that is too long; nobody watches an orphan, so
    the kernel ends it (SIGALRM) when ORPHAN_GRACE_S are over.
    """
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return int(ExitCode.UNAVAILABLE)
    try:
        settings = load_settings()
        configure_logs(settings, name)
        asyncio.run(_run(name, settings, main, parent))
    except HoldfastError as error:
        log.error("%s ends: %s", name, error, exc_info=isinstance(error, InvariantError))
        return int(error.exit_code)
    except Exception:  # the one broad handler: log, and let the supervisor restart us
        log.exception("%s failed", name)
        return int(ExitCode.INVARIANT)
    return int(ExitCode.OK)


async def _run(name: str, settings: NodeSettings, main: Main, parent: int) -> None:
    """Return when `main` has, raise what it, a handler of the bus or the lease raised first."""
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    notifier = Notifier()
    # Before the bus: a service that waits for it does not hang.
    lease = loop.create_task(_renew_lease(notifier))
    context = Context(
        name=name,
        settings=settings,
        bus=await NatsBus.connect(settings.run_dir, name),
        clock=clock,
        hybrid=HybridClock(clock),
        notifier=notifier,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, context, parent)
    failed: asyncio.Future[None] = loop.create_future()
    context.bus.on_failed(lambda error: None if failed.done() else failed.set_exception(error))
    context.bus.on_reconnected(context.announce)
    await context.listen_for_reports()
    work = asyncio.ensure_future(main(context))
    try:
        done, _ = await asyncio.wait({work, lease, failed}, return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
    finally:
        context.stopping.set()
        for task in (work, lease, failed):
            task.cancel()
        await asyncio.wait({work, lease})
        context.notifier.stopping()
        await context.bus.close()


def _stop(context: Context, parent: int) -> None:
    """Told to stop, by the supervisor or by its death."""
    context.stopping.set()
    if os.getppid() != parent:
        signal.setitimer(signal.ITIMER_REAL, ORPHAN_GRACE_S)


async def _renew_lease(notifier: Notifier) -> None:
    while True:
        notifier.lease()
        await asyncio.sleep(LEASE_INTERVAL_S)


async def ready(context: Context) -> None:
    """To be awaited by a service's main when its subscriptions stand: tells supervisor and state machine."""
    context.notifier.ready()
    await context.announce()
