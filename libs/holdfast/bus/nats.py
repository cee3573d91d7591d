"""The bus on this node's NATS server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from holdfast.bus.port import Answerer, Handler
from holdfast.errors import UnavailableError

log = logging.getLogger("holdfast.bus")

RECONNECT_WAIT_S = 0.05
"""The server is back within about 100 ms when the supervisor restarts it; half of that keeps the gap short."""
PENDING_BYTES_MAX = 4 << 20
CONNECT_WAIT_S = 2.0


def read_address(run_dir: Path) -> tuple[str, str]:
    """Return (url, token) from `bus.json`, which the supervisor writes before it starts services."""
    body = json.loads((run_dir / "bus.json").read_text())
    return str(body["url"]), str(body["token"])


class NatsBus:
    """See `holdfast.bus.port.Bus`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0

    @classmethod
    async def connect(cls, run_dir: Path, name: str) -> NatsBus:
        """Connect and keep trying for ever; returns at once even when the server is not there yet."""
        client = Client()
        bus = cls(client)
        url, token = read_address(run_dir)

        async def reconnected() -> None:
            for callback in bus._reconnected:
                await callback()

        async def failed(error: Exception) -> None:
            log.debug("bus trouble: %s", error)

        while True:
            try:
                await client.connect(
                    url,
                    token=token,
                    name=name,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # annotated int, used as seconds by asyncio.sleep
                    connect_timeout=CONNECT_WAIT_S,  # type: ignore[arg-type]  # annotated int, used by asyncio.wait_for
                    ping_interval=5,
                    max_outstanding_pings=2,
                    pending_size=PENDING_BYTES_MAX,
                    reconnected_cb=reconnected,
                    error_cb=failed,
                )
            except (OSError, nats.errors.Error, TimeoutError):
                await asyncio.sleep(RECONNECT_WAIT_S)
                url, token = read_address(run_dir)
            else:
                return bus

    async def publish(self, subject: str, data: bytes) -> None:
        if not self._client.is_connected:
            self.dropped += 1
            return
        try:
            await self._client.publish(subject, data)
        except (nats.errors.Error, OSError):
            self.dropped += 1

    async def subscribe(self, subject: str, handler: Handler) -> None:
        async def deliver(message: Msg) -> None:
            await handler(message.subject, message.data)

        await self._client.subscribe(subject, cb=deliver, pending_msgs_limit=65_536)

    async def answer(self, subject: str, answerer: Answerer) -> None:
        async def reply(message: Msg) -> None:
            data = await answerer(message.subject, message.data)
            if message.reply:
                await self.publish(message.reply, data)

        def start(message: Msg) -> Any:
            task = asyncio.get_running_loop().create_task(reply(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async def deliver(message: Msg) -> None:
            start(message)

        await self._client.subscribe(subject, cb=deliver)

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        try:
            reply = await self._client.request(subject, data, timeout=timeout_s)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s: {type(error).__name__}") from error
        return reply.data

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        self._reconnected.append(callback)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._client.drain(), 1.0)
        except (nats.errors.Error, OSError, TimeoutError):
            await self._client.close()
