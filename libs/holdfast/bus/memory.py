"""The bus in memory: for tests, held to the same contract as the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.bus.port import Answerer, Handler
from holdfast.errors import UnavailableError


class MemoryBus:
    """Delivers in the caller's event loop, in order, after the publisher has yielded."""

    def __init__(self) -> None:
        self._handlers: list[tuple[list[str], Handler]] = []
        self._answerers: list[tuple[list[str], Answerer]] = []
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self.connected = True
        self.dropped = 0

    async def publish(self, subject: str, data: bytes) -> None:
        if not self.connected:
            self.dropped += 1
            return
        for pattern, handler in list(self._handlers):
            if _matches(pattern, subject.split(".")):
                await handler(subject, data)

    async def subscribe(self, subject: str, handler: Handler) -> None:
        self._handlers.append((subject.split("."), handler))

    async def answer(self, subject: str, answerer: Answerer) -> None:
        self._answerers.append((subject.split("."), answerer))

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        for pattern, answerer in self._answerers:
            if self.connected and _matches(pattern, subject.split(".")):
                try:
                    return await asyncio.wait_for(answerer(subject, data), timeout_s)
                except TimeoutError as error:
                    raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s") from error
        raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s: nobody listens")

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        self._reconnected.append(callback)

    async def reconnect(self) -> None:
        """Test control: behave as a connection that came back."""
        self.connected = True
        for callback in self._reconnected:
            await callback()

    async def close(self) -> None:
        self._handlers.clear()
        self._answerers.clear()


def _matches(pattern: list[str], subject: list[str]) -> bool:
    for position, token in enumerate(pattern):
        if token == ">":
            return len(subject) > position
        if position >= len(subject) or token not in ("*", subject[position]):
            return False
    return len(pattern) == len(subject)
