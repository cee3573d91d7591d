"""What the checker services share: the list to watch, one task per watch, and publishing what changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import ResourceReported, WatchResources
from holdfast.ids import ModuleId
from holdfast.service.context import Context
from holdfast.service.run import ready

from services.checkers.core import Value

WATCHES_MAX = 256
"""Per module and kind; a configuration has a handful."""
CLOSE_S_MAX = 4.0
"""A custom checker that does not end when it is asked to is killed after 2 s; the supervisor waits longer than this."""

log = logging.getLogger("holdfast.checkers")


class Watch(Protocol):
    """An order's entry: hashable, and comparable with the one that is being obeyed."""

    @property
    def resource(self) -> str: ...

    @property
    def action(self) -> str: ...

    def __hash__(self) -> int: ...


W = TypeVar("W", bound=Watch)
Say = Callable[[Value], Awaitable[None]]
"""Called by a watcher with what its resource is now; saying the same again is harmless."""
Watcher = Callable[[ModuleId, W, Say], Coroutine[object, object, None]]
"""Watches one thing of a module until it is cancelled."""


@dataclass(kw_only=True)
class _Running(Generic[W]):
    task: asyncio.Task[None]
    watch: W
    value: Value = Value.INIT


class Checker(Generic[W]):
    """Keeps one task for every watch that the newest order of each module names."""

    def __init__(
        self,
        context: Context,
        *,
        part: Callable[[WatchResources], tuple[W, ...]],
        watcher: Watcher[W],
        speaks: bool = True,
    ) -> None:
        """speaks: False when others assign the values; then a watch begins with init, and no value is repeated."""
        self._context = context
        self._speaks = speaks
        self._part = part
        self._watcher = watcher
        self._running: dict[ModuleId, dict[str, _Running[W]]] = {}

    async def obey(self, order: Envelope[WatchResources]) -> None:
        """Watch exactly what the order names; what is watched already in the same way goes on undisturbed."""
        named = self._part(order.payload)[:WATCHES_MAX]
        wanted = {watch.resource: watch for watch in named}
        running = self._running.setdefault(order.module, {})
        for resource in [name for name, entry in running.items() if wanted.get(name) != entry.watch]:
            running.pop(resource).task.cancel()
        for resource, watch in wanted.items():
            if resource not in running:
                running[resource] = self._start(order.module, resource, watch)
                if not self._speaks:
                    await self._publish(order.module, resource, running[resource])
        if not running:
            del self._running[order.module]

    async def report(self, module: ModuleId) -> None:
        """Publish the present values, of one module or of all."""
        if not self._speaks:
            return
        for known, running in list(self._running.items()):
            if module in (known, NODE_SCOPE):
                for resource, entry in list(running.items()):
                    await self._publish(known, resource, entry)

    async def close(self) -> None:
        """End all watches; each may need a moment to end what it started."""
        tasks = [entry.task for running in self._running.values() for entry in running.values()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S_MAX)

    def _start(self, module: ModuleId, resource: str, watch: W) -> _Running[W]:
        async def say(value: Value) -> None:
            if entry.value is not value:
                log.info("resource %s of module %s is %s", resource, module, value)
                entry.value = value
                await self._publish(module, resource, entry)

        task = asyncio.get_running_loop().create_task(self._watcher(module, watch, say))
        entry = _Running(task=task, watch=watch)
        task.add_done_callback(self._ended)
        return entry

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A watcher never ends by itself: if one failed, this service must not go on as if it still looked."""
        if not task.cancelled() and task.exception() is not None:
            log.error("a watch failed; the service ends to be restarted", exc_info=task.exception())
            self._context.stopping.set()

    async def _publish(self, module: ModuleId, resource: str, entry: _Running[W]) -> None:
        fact = ResourceReported(resource=resource, value=entry.value, by=self._context.name, action=entry.watch.action)
        await self._context.publish(module, fact)


async def serve_checker(context: Context, checker: Checker[W]) -> None:
    """Set a checker service up and let it work until it is stopped."""
    await context.on_order(WatchResources, checker.obey)
    context.on_report(checker.report)
    await ready(context)
    await context.stopping.wait()
    await checker.close()


async def serve_beside(context: Context, work: Coroutine[object, object, None], checker: Checker[W]) -> None:
    """The same with a task that all watches depend on; when that fails, so does the service."""
    beside = asyncio.ensure_future(work)
    serving = asyncio.ensure_future(serve_checker(context, checker))
    try:
        await asyncio.wait({beside, serving}, return_when=asyncio.FIRST_COMPLETED)
        if beside.done():
            beside.result()
        await serving
    finally:
        beside.cancel()
        serving.cancel()
