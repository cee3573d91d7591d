"""Resource `custom.<ident>`: whatever a program of the module assigns with `safekit set`.

The program is an endless loop. It gets the module's name, the resource's name and its own arguments, finds the same
environment as the module's scripts, and is started again when it ends. Its last word counts until it says another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from holdfast.events.module import CustomWatch
from holdfast.ids import ModuleId
from holdfast.scripting.environment import script_dir, script_environment
from holdfast.service.context import Context
from holdfast.settings import NodeSettings

from services.checkers.custom.leftovers import Leftovers
from services.checkers.custom.output import Log, Reader
from services.checkers.custom.program import Program
from services.checkers.custom.restarting import pause_s
from services.checkers.service import Checker, Say, serve_checker

log = logging.getLogger("holdfast.checkers")


class Custom:
    """Runs the programs; one for each resource at any time."""

    def __init__(self, settings: NodeSettings, leftovers: Leftovers) -> None:
        self._settings = settings
        self._leftovers = leftovers
        self._alone: dict[tuple[ModuleId, str], asyncio.Lock] = {}

    async def watch(self, module: ModuleId, watch: CustomWatch, _say: Say) -> None:
        """Keep the program running until cancelled, then end it and all that it started."""
        short_runs = 0
        # A program whose watch has just ended may need its grace; two at once would contradict each other.
        async with self._alone.setdefault((module, watch.resource), asyncio.Lock()):
            while True:
                began_at = time.monotonic()
                ending = await self._run(module, watch)
                lived_s = time.monotonic() - began_at
                pause, short_runs = pause_s(lived_s, short_runs)
                log.warning(
                    "checker %s of module %s %s after %.1f s; it is started again in %g s",
                    *(watch.resource, module, ending, lived_s, pause),
                )
                await asyncio.sleep(pause)

    async def _run(self, module: ModuleId, watch: CustomWatch) -> str:
        """Run the program to its end; return how it ended, in words."""
        file = script_dir(self._settings, module) / watch.program
        environment = script_environment(
            self._settings, module, variables=dict(watch.environment), inherited=os.environ
        )
        try:
            program = Program(file, (module, watch.resource, *watch.arguments), environment)
        except OSError as error:
            return f"could not be started ({file}: {error.strerror})"
        self._leftovers.add(program.pid)
        reader = Reader(program.output, Log(log_path(self._settings, module, watch.ident)))
        try:
            return f"ended with exit code {await program.wait()}"
        finally:
            try:
                await program.end()
            finally:
                reader.close()
                self._leftovers.remove(program.pid)


def log_path(settings: NodeSettings, module: ModuleId, ident: str) -> Path:
    """Where the output of a custom checker is kept, beside the logs of the module's scripts."""
    return settings.module_dir(module) / "log" / f"checker_{ident}.log"


async def serve(context: Context) -> None:
    leftovers = Leftovers(context.settings.run_dir)
    leftovers.end_all()
    custom = Custom(context.settings, leftovers)
    checker = Checker[CustomWatch](context, part=lambda order: order.custom, watcher=custom.watch, speaks=False)
    await serve_checker(context, checker)
