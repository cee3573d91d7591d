"""The bus in memory: for tests, held to the same contract as the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.bus.failures import Failures, OnFailed
from holdfast.bus.port import PENDING_MESSAGES_MAX, Answerer, Handler
from holdfast.errors import UnavailableError


class MemoryBus:
    """Delivers in the event loop it is used in: in order, one message at a time per subscription."""

    def __init__(self) -> None:
        self._queues: list[tuple[list[str], asyncio.Queue[tuple[str, bytes]]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._answerers: list[tuple[list[str], Answerer]] = []
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._failures = Failures()
        self.connected = True
        self.dropped = 0
        self.missed = 0

    async def publish(self, subject: str, data: bytes) -> None:
        if not self.connected:
            self.dropped += 1
            return
        for pattern, queue in self._queues:
            if _matches(pattern, subject.split(".")):
                if queue.full():
                    self.missed += 1
                else:
                    queue.put_nowait((subject, data))

    async def subscribe(self, subject: str, handler: Handler) -> None:
        queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(PENDING_MESSAGES_MAX)
        self._queues.append((subject.split("."), queue))
        self._tasks.append(asyncio.get_running_loop().create_task(self._deliver(queue, handler)))

    async def settle(self) -> None:
        """Test control: return when everything published so far has been handled."""
        for _, queue in self._queues:
            await queue.join()

    async def answer(self, subject: str, answerer: Answerer) -> None:
        self._answerers.append((subject.split("."), answerer))

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        for pattern, answerer in self._answerers:
            if self.connected and _matches(pattern, subject.split(".")):
                reply: bytes | None = None
                try:
                    async with asyncio.timeout(timeout_s):
                        with self._failures.watching(subject):
                            reply = await answerer(subject, data)
                except TimeoutError as error:
                    raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s") from error
                if reply is not None:
                    return reply
        raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s: nobody listens")

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        self._reconnected.append(callback)

    def on_failed(self, callback: OnFailed) -> None:
        self._failures.listen(callback)

    async def reconnect(self) -> None:
        """Test control: behave as a connection that came back."""
        self.connected = True
        for callback in self._reconnected:
            with self._failures.watching("reconnection"):
                await callback()

    async def close(self) -> None:
        self.connected = False
        self._queues.clear()
        self._answerers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, queue: asyncio.Queue[tuple[str, bytes]], handler: Handler) -> None:
        while True:
            subject, data = await queue.get()
            with self._failures.watching(subject):
                await handler(subject, data)
            queue.task_done()


def _matches(pattern: list[str], subject: list[str]) -> bool:
    for position, token in enumerate(pattern):
        if token == ">":
            return len(subject) > position
        if position >= len(subject) or token not in ("*", subject[position]):
            return False
    return len(pattern) == len(subject)
