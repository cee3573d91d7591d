"""What becomes of an error in a handler: nobody awaits it, so it must neither vanish nor stop the delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

from holdfast.errors import OperatorError, PeerError, UnavailableError

log = logging.getLogger("holdfast.bus")

ABOUT_THE_MESSAGE = (PeerError, OperatorError, UnavailableError)
"""Errors that concern this one message or another service: what was sent is level-triggered and comes again."""

OnFailed = Callable[[Exception], None]


class Failures:
    """Logs errors about a message, and tells those who listen about every other one."""

    def __init__(self) -> None:
        self._listeners: list[OnFailed] = []

    def listen(self, callback: OnFailed) -> None:
        self._listeners.append(callback)

    def watching(self, subject: str) -> _Watch:
        """Return a context in which a handler runs; errors end there, cancellation passes."""
        return _Watch(self, subject)

    def note(self, subject: str, error: Exception) -> None:
        if isinstance(error, ABOUT_THE_MESSAGE):
            log.warning("message on %s came to nothing: %s", subject, error)
            return
        log.error("handler of %s failed", subject, exc_info=error)
        for callback in self._listeners:
            callback(error)


class _Watch:
    def __init__(self, failures: Failures, subject: str) -> None:
        self._failures = failures
        self._subject = subject

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._failures.note(self._subject, error)
        return True
