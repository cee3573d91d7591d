"""Resource `proc.<name>`: up while the right number of processes runs, or while a unit of systemd does."""

from __future__ import annotations

from holdfast.events.module import ProcessWatch
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.priority import prefer_for_takeover

from services.checkers.process.table import ProcessTable
from services.checkers.process.units import Units
from services.checkers.process.watching import watch_processes, watch_unit
from services.checkers.service import Checker, Say, serve_beside


async def serve(context: Context) -> None:
    table = ProcessTable()
    units = Units()
    prefer_for_takeover()

    async def watcher(_module: ModuleId, watch: ProcessWatch, say: Say) -> None:
        if watch.unit:
            await watch_unit(watch, say, table, units)
        else:
            await watch_processes(watch, say, table)

    checker = Checker[ProcessWatch](context, part=lambda order: order.processes, watcher=watcher)
    await serve_beside(context, units.run(), checker)
