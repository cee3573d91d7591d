"""A disk that fails on request: the tests' way to inject a fault at exactly one named step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from services.rfs.disk import Disk

Value = TypeVar("Value")


class FaultyDisk(Disk):
    """Before a step whose name is armed, raise its error, or kill the process when the error is 0.

    `arm` names a step exactly and says how many of its calls pass before the fault. Steps seen are counted in
    `seen`, so that a test can tell that the step was reached.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[str, tuple[int, int]] = {}
        self.seen: dict[str, int] = {}

    def arm(self, step: str, error: int, *, after: int = 0) -> None:
        """Make call number `after` (from 0, counted from now) of the step fail; errno 0 means SIGKILL to ourselves."""
        with self._lock:
            self._armed[step] = (error, after)

    def disarm(self) -> None:
        with self._lock:
            self._armed.clear()

    def reach(self, step: str) -> None:
        """Count the step and carry out the fault that is due."""
        with self._lock:
            self.seen[step] = self.seen.get(step, 0) + 1
            if step not in self._armed:
                return
            error, after = self._armed[step]
            if after > 0:
                self._armed[step] = (error, after - 1)
                return
        if error == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(error, os.strerror(error), step)


def _faulty(call: Callable[..., Value]) -> Callable[..., Value]:
    def stepped(self: FaultyDisk, step: str, *arguments: object) -> Value:
        self.reach(step)
        return call(self, step, *arguments)

    return stepped


for _name, _call in list(vars(Disk).items()):
    if not _name.startswith("_"):
        setattr(FaultyDisk, _name, _faulty(_call))
