"""rfs on the bus: one process per module, named `rfs@MODULE`."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from holdfast.errors import HoldfastError, PeerError
from holdfast.events import codec
from holdfast.events.envelope import Envelope
from holdfast.events.replication import (
    EstimateResync,
    ReplicaDifference,
    ReplicasVerified,
    ReplicateDirectories,
    ReplicationMode,
    ReplicationReported,
    ResyncEstimated,
    ResyncProgress,
    VerifyReplicas,
)
from holdfast.ids import ModuleId, checked_name
from holdfast.service.context import Context
from holdfast.service.run import ready
from holdfast.telemetry import is_trace

from services.rfs.control import Control, Places
from services.rfs.verdict import Comparison

log = logging.getLogger("holdfast.rfs")

SAMPLE_S = 1.0
SWITCH_INTERVAL_S = 0.0005
"""Python hands the interpreter to a waiting thread after this: a barrier must not wait 5 ms behind a busy thread."""
NICENESS = -10
"""Every barrier of an application waits for four changes of process; on a busy node each would queue."""


def prefer_latency() -> None:
    """Have the kernel and the interpreter switch to our threads soon."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    except PermissionError:
        log.warning("priority cannot be raised; barriers take longer on a busy node")


async def serve(context: Context) -> None:
    """The service's main, for `holdfast.service.run`."""
    prefer_latency()
    await Service(context, ModuleId(checked_name("module", context.name.partition("@")[2]))).run()


class Service:
    """Carries orders to the control thread and reports back."""

    def __init__(self, context: Context, module: ModuleId) -> None:
        self._context = context
        self._module = module
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._wanted: ReplicateDirectories | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rfs-control")
        self._verifying = ThreadPoolExecutor(1, thread_name_prefix="rfs-verify")
        self._estimating = ThreadPoolExecutor(1, thread_name_prefix="rfs-estimate")
        self._tasks: set[asyncio.Task[None]] = set()
        run_dir = context.settings.run_dir / "rfs" / module
        self._last_order = run_dir / "order.json"
        self._control = Control(
            module=module,
            node=context.settings.node,
            places=Places(run_dir, context.settings.module_dir(module) / "rfs"),
            store=context.notifier,
            clock=context.clock,
            changed=self._note_change,
        )
        self._last: ReplicationReported | None = None

    async def run(self) -> None:
        """Serve until the context says that the service must end."""
        context = self._context
        await self._resume()
        await context.on_order(ReplicateDirectories, self._take_order)
        await context.on_order(VerifyReplicas, self._take_verify)
        await context.on_order(EstimateResync, self._take_estimate)
        context.on_report(self._report)
        gc.collect()
        gc.freeze()
        await ready(context)
        reporter = self._loop.create_task(self._keep_reporting())
        try:
            await context.stopping.wait()
        finally:
            reporter.cancel()
            await self._loop.run_in_executor(self._pool, self._control.close)
            self._last_order.unlink(missing_ok=True)
            self._pool.shutdown()
            self._verifying.shutdown(cancel_futures=True)
            self._estimating.shutdown(cancel_futures=True)

    async def _resume(self) -> None:
        """Go on at once with the order that a killed worker obeyed; the state machine may be away for a moment too."""
        try:
            order = codec.decode(self._last_order.read_bytes()).payload
        except FileNotFoundError:
            return
        except (PeerError, OSError) as error:
            log.warning("%s: %s; waiting for the state machine's order", self._last_order, error)
            return
        if isinstance(order, ReplicateDirectories):
            log.info("going on as %s", order.mode)
            self._wanted = order
            await self._loop.run_in_executor(self._pool, self._obey)

    async def _take_order(self, envelope: Envelope[ReplicateDirectories]) -> None:
        if envelope.module != self._module:
            return
        before, self._wanted = self._wanted, envelope.payload
        await self._loop.run_in_executor(self._pool, _keep, self._last_order, codec.encode(envelope))
        obeying = self._loop.run_in_executor(self._pool, self._obey)
        if is_trace(envelope.trace) and _posture(envelope.payload) != _posture(before):
            obeying.add_done_callback(partial(self._trace, envelope, self._context.clock.wall_ns()))

    def _trace(self, order: Envelope[ReplicateDirectories], began_ns: int, obeyed: asyncio.Future[None]) -> None:
        """Report the carrying out of an order that changed what this node is to be."""
        if obeyed.cancelled():
            return
        self._context.telemetry.record(
            f"replicate as {_posture(order.payload)}",
            trace=order.trace,
            start_wall_ns=began_ns,
            end_wall_ns=self._context.clock.wall_ns(),
            attributes={"module": self._module, "epoch": order.payload.epoch},
        )

    def _obey(self) -> None:
        """In the control thread: the newest order; the ones between do not matter."""
        order = self._wanted
        if order is not None:
            self._control.obey(order)

    async def _take_verify(self, envelope: Envelope[VerifyReplicas]) -> None:
        if envelope.module != self._module:
            return
        self._begin(self._verify(envelope))

    async def _take_estimate(self, envelope: Envelope[EstimateResync]) -> None:
        if envelope.module == self._module:
            self._begin(self._estimate(envelope))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _verify(self, envelope: Envelope[VerifyReplicas]) -> None:
        request = envelope.payload.request
        try:
            found = await self._loop.run_in_executor(self._verifying, self._control.verify)
            answer = self._verified(request, found)
        except (HoldfastError, OSError) as error:
            answer = ReplicasVerified(request=request, equal=False, files=0, bytes=0, error=str(error))
        await self._context.publish(self._module, answer, cause=envelope.id, trace=envelope.trace)

    async def _estimate(self, envelope: Envelope[EstimateResync]) -> None:
        """What it needs of the directories is taken in the control thread, the long look in a thread of its own."""
        request = envelope.payload.request
        try:
            estimation, speed = await self._loop.run_in_executor(self._pool, self._control.begin_estimate)
            found = await self._loop.run_in_executor(self._estimating, estimation.run)
            answer = ResyncEstimated(
                request=request,
                kind=found.kind,
                files=found.files,
                bytes=found.bytes,
                names=found.names,
                seconds=round(found.bytes / speed.bytes_per_second, 1),
                bytes_per_second=speed.bytes_per_second,
                speed=speed.source,
            )
        except (HoldfastError, OSError) as error:
            answer = ResyncEstimated(request=request, error=str(error))
        await self._context.publish(self._module, answer, cause=envelope.id, trace=envelope.trace)

    def _verified(self, request: str, found: Comparison) -> ReplicasVerified:
        return ReplicasVerified(
            request=request,
            equal=not found.differences_total,
            files=found.files,
            bytes=found.bytes_compared,
            differences=tuple(
                ReplicaDifference(
                    path=os.path.join(self._control.directory(one.tree), one.path.decode("utf-8", "backslashreplace")),
                    what=one.what,
                )
                for one in found.differences
            ),
            differences_total=found.differences_total,
        )

    def _note_change(self) -> None:
        """Called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    async def _report(self, _module: ModuleId) -> None:
        self._last = None
        self._changed.set()

    async def _keep_reporting(self) -> None:
        """Publish what matters at once, numbers at most once a second."""
        while True:
            try:
                async with asyncio.timeout(SAMPLE_S):
                    await self._changed.wait()
                numbers = False
            except TimeoutError:
                self._control.sample()
                numbers = True
                if self._control.has_failed:
                    self._pool.submit(self._obey)
            self._changed.clear()
            report = self._control.report()
            if self._last is None or _essence(report) != _essence(self._last) or (numbers and report != self._last):
                self._last = report
                await self._context.publish(self._module, report)


def _posture(order: ReplicateDirectories | None) -> str:
    """What an order wants this node to be, in words."""
    if order is None:
        return ""
    return f"{order.mode}, {order.stance}" if order.mode is ReplicationMode.PRIMARY else str(order.mode)


def _essence(report: ReplicationReported) -> ReplicationReported:
    """A report without the numbers that change all the time."""
    return replace(report, progress=ResyncProgress(), sequence=0, acknowledged=0, metrics={})


def _keep(path: Path, data: bytes) -> None:
    """Keep the order for the next worker, replacing the one before at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data)
    os.replace(temporary, path)
