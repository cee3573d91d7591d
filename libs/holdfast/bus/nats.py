"""The bus on this node's NATS server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from holdfast.bus.failures import Failures, OnFailed
from holdfast.bus.port import PENDING_BYTES_MAX, PENDING_MESSAGES_MAX, Answerer, Handler
from holdfast.errors import UnavailableError

log = logging.getLogger("holdfast.bus")

RECONNECT_WAIT_S = 0.05
"""The server is back within about 100 ms when the supervisor restarts it; half of that keeps the gap short."""
OUTGOING_BYTES_MAX = 4 << 20
CONNECT_WAIT_S = 2.0
PING_INTERVAL_S = 5
PINGS_UNANSWERED_MAX = 2
CLOSE_S_MAX = 1.0
FLUSH_S_MAX = 2
"""For the server to confirm a subscription, which takes it less than a millisecond."""
GAP_PAUSE_S = 1.0
"""After messages were missed: how long until they are asked for again, once for all that are missed meanwhile."""


def read_address(run_dir: Path) -> tuple[str, str]:
    """Return (url, token) from `bus.json`, which the supervisor writes before it starts services.

    Raises UnavailableError when there is none.
    """
    path = run_dir / "bus.json"
    try:
        body = json.loads(path.read_text())
        return str(body["url"]), str(body["token"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnavailableError(f"the bus cannot be found: {path}: {error}", hint="is the node running?") from error


class NatsBus:
    """See `holdfast.bus.port.Bus`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reconnected: list[Callable[[], Awaitable[None]]] = []
        self._failures = Failures()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gap: asyncio.Task[None] | None = None
        self.dropped = 0
        self.missed = 0

    @classmethod
    async def connect(cls, run_dir: Path, name: str) -> NatsBus:
        """Return a connected bus, however long that takes; raise UnavailableError when no address is known."""
        client = Client()
        bus = cls(client)
        url, token = read_address(run_dir)
        try:
            await client.connect(
                url,
                token=token,
                name=name,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # annotated int, used as seconds by asyncio.sleep
                connect_timeout=CONNECT_WAIT_S,  # type: ignore[arg-type]  # annotated int, used by asyncio.wait_for
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=PINGS_UNANSWERED_MAX,
                pending_size=OUTGOING_BYTES_MAX,
                reconnected_cb=bus._came_back,
                error_cb=bus._troubled,
            )
        except (OSError, nats.errors.Error) as error:
            raise UnavailableError(f"the bus at {url} cannot be used: {error}") from error
        return bus

    async def publish(self, subject: str, data: bytes) -> None:
        if not self._client.is_connected:
            self.dropped += 1
            return
        try:
            await self._client.publish(subject, data)
        except nats.errors.MaxPayloadError:
            self.dropped += 1
            log.error("a message of %d bytes on %s is more than the bus carries", len(data), subject)
        except (nats.errors.Error, OSError):
            self.dropped += 1

    async def subscribe(self, subject: str, handler: Handler) -> None:
        async def deliver(message: Msg) -> None:
            with self._failures.watching(message.subject):
                await handler(message.subject, message.data)

        await self._listen(subject, deliver)

    async def answer(self, subject: str, answerer: Answerer) -> None:
        async def reply(message: Msg) -> None:
            with self._failures.watching(message.subject):
                data = await answerer(message.subject, message.data)
                if message.reply:
                    await self.publish(message.reply, data)

        async def deliver(message: Msg) -> None:
            if len(self._tasks) < PENDING_MESSAGES_MAX:
                self._start(reply(message))
            else:
                self.missed += 1

        await self._listen(subject, deliver)

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        if not self._client.is_connected:
            raise UnavailableError(f"no answer on {subject}: the bus is down")
        try:
            reply = await self._client.request(subject, data, timeout=timeout_s)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise UnavailableError(f"no answer on {subject} within {timeout_s:g} s: {type(error).__name__}") from error
        return reply.data

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        self._reconnected.append(callback)

    def on_failed(self, callback: OnFailed) -> None:
        self._failures.listen(callback)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._client.drain()
        except (nats.errors.Error, OSError, TimeoutError):
            await self._client.close()

    async def _listen(self, subject: str, deliver: Callable[[Msg], Awaitable[None]]) -> None:
        await self._client.subscribe(
            subject, cb=deliver, pending_msgs_limit=PENDING_MESSAGES_MAX, pending_bytes_limit=PENDING_BYTES_MAX
        )
        if self._client.is_connected:
            try:
                # The client's first ping may overtake the subscription that it has queued; the second cannot.
                await self._client.flush(FLUSH_S_MAX)
                await self._client.flush(FLUSH_S_MAX)
            except (nats.errors.Error, OSError, TimeoutError):
                # The connection broke meanwhile; the subscription comes with the next.
                return

    async def _came_back(self) -> None:
        """Called by the client inside its own reconnecting, which must not wait for us nor fail with us."""
        self._start(self._call_reconnected())

    async def _troubled(self, error: Exception) -> None:
        if not isinstance(error, nats.errors.SlowConsumerError):
            log.debug("bus trouble: %s", error)
            return
        self.missed += 1
        if self._gap is None or self._gap.done():
            log.warning("handler of %s is too slow; messages are missed", error.subject)
            self._gap = self._start(self._close_gap())

    async def _close_gap(self) -> None:
        await asyncio.sleep(GAP_PAUSE_S)
        await self._call_reconnected()

    async def _call_reconnected(self) -> None:
        for callback in self._reconnected:
            with self._failures.watching("reconnection"):
                await callback()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
