"""What services need of a bus. Delivery is at most once and unordered across subjects; everything sent is level-
triggered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from holdfast.bus.failures import OnFailed

Handler = Callable[[str, bytes], Awaitable[None]]
"""Called with subject and data, one message at a time per subscription."""
Answerer = Callable[[str, bytes], Awaitable[bytes]]
"""Called with subject and data, several at once; what it raises is no answer."""

PENDING_MESSAGES_MAX = 8_192
"""Messages that wait for one subscription's handler; what comes on top is lost and counted as missed."""
PENDING_BYTES_MAX = 16 << 20


class Bus(Protocol):
    """A connection that heals itself: while it is down, publishing drops (and counts), subscriptions come back with
    it. No method raises because the connection is down, except `ask`.

    dropped: messages not sent. missed: messages that came and were lost because a handler was too slow.
    """

    dropped: int
    missed: int

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; returns at once; silently counts as dropped while there is no connection."""

    async def subscribe(self, subject: str, handler: Handler) -> None:
        """Deliver everything that matches `subject` (`*` one token, `>` the rest) to `handler` until the bus is
        closed. What anybody sends after this has returned is delivered.
        """

    async def answer(self, subject: str, answerer: Answerer) -> None:
        """Reply to requests on `subject` with what `answerer` returns."""

    async def ask(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the reply; raise UnavailableError when none comes in time."""

    def on_reconnected(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call `callback` each time the connection has been made again after having been lost, and after messages
        were missed: what was sent meanwhile has to be asked for again.
        """

    def on_failed(self, callback: OnFailed) -> None:
        """Call `callback` with every error that a handler, answerer or callback raised, except those about the
        message itself (`holdfast.bus.failures`), which are logged.
        """

    async def close(self) -> None:
        """Flush what can be flushed and end."""
