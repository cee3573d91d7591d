"""Processes that are held by descriptors (pidfd_open(2)), so that their end is known at once and without looking."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType

from services.checkers.process.matching import Seen


class Held:
    """Descriptors of matching processes; `news` is set when one of them ends."""

    def __init__(self, news: asyncio.Event) -> None:
        self.news = news
        self._descriptors: dict[Seen, int] = {}
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for seen in list(self._descriptors):
            self._release(seen)

    def __len__(self) -> int:
        return len(self._descriptors)

    def __contains__(self, seen: Seen) -> bool:
        return seen in self._descriptors

    def hold(self, found: Sequence[Seen], count_max: int) -> None:
        """Hold `count_max` of these, those that are held already before others, and release all others."""
        wanted = sorted(found, key=lambda seen: seen not in self)[:count_max]
        for seen in [held for held in self._descriptors if held not in wanted]:
            self._release(seen)
        for seen in wanted:
            if seen not in self._descriptors:
                self._take(seen)

    def _take(self, seen: Seen) -> None:
        try:
            descriptor = os.pidfd_open(seen.pid)
        except OSError:
            # It ended since it was seen: the next look will not find it.
            self.news.set()
            return
        self._descriptors[seen] = descriptor
        self._loop.add_reader(descriptor, self._end, seen)

    def _end(self, seen: Seen) -> None:
        self._release(seen)
        self.news.set()

    def _release(self, seen: Seen) -> None:
        descriptor = self._descriptors.pop(seen)
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
