"""What services need of a bus. Delivery is at most once and unordered across subjects; everything sent is level-
triggered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Handler = Callable[[str, bytes], Awaitable[None]]
"""Called with subject and data, one message at a time per subscription."""
Answerer = Callable[[str, bytes], Awaitable[bytes]]


class Bus(Protocol):
    """A connection that heals itself: while it is down, publishing drops (and counts), subscriptions come back with
    it.
    """

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; returns at once; silently counts as dropped while there is no connection."""

    async def subscribe(self, subject: str, handler: Handler) -> None:
        """Deliver everything that matches `subject` (`*` one token, `>` the rest) to `handler` until the bus is
        closed.
        """

    async def answer(self, subject: str, answerer: Answerer) -> None:
        """Reply to requests on `subject` with what `answerer` returns."""

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the reply; raise UnavailableError when none comes in time."""

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call `callback` each time the connection has been made again after having been lost."""

    async def close(self) -> None:
        """Flush what can be flushed and end."""
