"""Whose turn it is to beat: a lock that the kernel hands to the spare in the moment the beating process is gone.

Why never two at once, and what a successor owes its predecessor: `CONCURRENCY.md`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable

from holdfast.events.module import AnnounceState

from services.heartbeat.memory import Memory

SPARE_TIMEOUT_MS_MAX = 500
"""With a longer timeout a fresh start (50 to 250 ms, more on a loaded node) is back before the peer would notice."""

TIMEOUT_MS_NONE = 1 << 31
"""Nobody judges."""


class Turn:
    """The turn of this process; it ends with the process at the latest."""

    def __init__(self, memory: Memory) -> None:
        self._fd = memory.open_turn()

    def take_if_free(self) -> bool:
        """Return whether this process has the turn now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self) -> None:
        """Return when this process has the turn, however long that takes."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def give_away(self) -> None:
        """Let the next one beat; this process never beats again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def needs_spare(orders: Iterable[AnnounceState]) -> bool:
    """Whether one of these orders is judged by the peer after so short a silence that a spare has to stand by."""
    return shortest_timeout_ms(orders) <= SPARE_TIMEOUT_MS_MAX


def shortest_timeout_ms(orders: Iterable[AnnounceState]) -> int:
    """The shortest silence after which some peer declares this node lost; TIMEOUT_MS_NONE without any network."""
    timeouts = (link.timeout_ms or order.timeout_ms for order in orders for link in order.links)
    return min(timeouts, default=TIMEOUT_MS_NONE)
