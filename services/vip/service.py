"""The shell between the bus and the keeper of addresses."""

from __future__ import annotations

import asyncio
import logging

from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import AddressesReported, HoldAddresses
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.ending import node_is_ending
from holdfast.service.priority import prefer_for_takeover
from holdfast.service.run import ready
from holdfast.telemetry import is_trace
from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]

from services.vip.keeper import Keeper
from services.vip.netlink import NetlinkKernel
from services.vip.record import Record

log = logging.getLogger("holdfast.vip")

UNCLAIMED_S = 45.0
"""How long after a start addresses of modules that give no order stay. The state machine repeats its orders within a
second of its own start; a node on which it cannot be kept alive is given up by the supervisor after 30 s."""
SETTLE_S = 0.002
"""Changes seen in the kernel come in groups; one look after the group is enough."""


async def serve(context: Context) -> None:
    """Run until `context.stopping`. When the node ends, let go of everything; on a mere restart keep it."""
    prefer_for_takeover()
    async with AsyncIPRoute() as route:
        shell = Shell(context, NetlinkKernel(route))
        await context.on_order(HoldAddresses, shell.obey)
        context.on_report(shell.report)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(work()) for work in (shell.watch, shell.tell_conflicts, shell.sweep)]
        await ready(context)
        stop = loop.create_task(_until(context.stopping))
        try:
            await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if context.stopping.is_set() and await node_is_ending(context.settings):
                await shell.keeper.let_go_of_all()
        finally:
            for task in [*tasks, stop]:
                task.cancel()
            shell.keeper.close()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


class Shell:
    """What `serve` keeps between messages."""

    def __init__(self, context: Context, kernel: NetlinkKernel) -> None:
        self._context = context
        self._kernel = kernel
        self._told: dict[ModuleId, AddressesReported] = {}
        self._conflicts: asyncio.Queue[ModuleId] = asyncio.Queue(maxsize=64)
        self.keeper = Keeper(kernel, Record(context.settings.run_dir), self._note_conflict)

    async def obey(self, order: Envelope[HoldAddresses]) -> None:
        began_ns = self._context.clock.wall_ns()
        outcome = await self.keeper.obey(order.module, order.payload)
        if outcome.operations and is_trace(order.trace):
            self._context.telemetry.record(
                "take addresses" if order.payload.held else "let addresses go",
                trace=order.trace,
                start_wall_ns=began_ns,
                end_wall_ns=self._context.clock.wall_ns(),
                attributes={"module": order.module, "operations": len(outcome.operations)},
            )
        await self._tell(order.module, outcome.report, cause=order.id, trace=order.trace)

    async def report(self, module: ModuleId) -> None:
        """Look again and say what is seen."""
        for each in self.keeper.modules:
            if module in (NODE_SCOPE, each):
                await self._tell(each, (await self.keeper.repair(each)).report)

    async def watch(self) -> None:
        """Repair at once what somebody else changes, and announce again when an interface comes back."""
        async for _ in self._kernel.changes():
            await asyncio.sleep(SETTLE_S)
            for module in self.keeper.modules:
                outcome = await self.keeper.repair(module)
                if outcome.operations:
                    log.warning("addresses of %s were changed by somebody else and are put right", module)
                if outcome.operations or outcome.report != self._told.get(module):
                    await self._tell(module, outcome.report)

    async def tell_conflicts(self) -> None:
        while True:
            module = await self._conflicts.get()
            outcome = await self.keeper.repair(module)
            if outcome.report != self._told.get(module):
                log.error("%s", outcome.report.problem)
                await self._tell(module, outcome.report)

    async def sweep(self) -> None:
        """Once, some time after the start, remove what no module claims; then wait for ever."""
        await asyncio.sleep(UNCLAIMED_S)
        await self.keeper.let_go_of_unclaimed(self.keeper.modules)
        await asyncio.Event().wait()

    def _note_conflict(self, module: ModuleId) -> None:
        if not self._conflicts.full():
            self._conflicts.put_nowait(module)

    async def _tell(self, module: ModuleId, report: AddressesReported, *, cause: str = "", trace: str = "") -> None:
        self._told[module] = report
        await self._context.publish(module, report, cause=cause, trace=trace)
