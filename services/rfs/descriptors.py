"""Where open descriptors survive the death of this process: the supervisor's store, or nowhere."""

from __future__ import annotations

from typing import Protocol


class FdStore(Protocol):
    """Implemented by `holdfast.service.notify.Notifier`."""

    def keep(self, name: str, fd: int) -> None:
        """Hold a duplicate of `fd` for the next run."""

    def take(self, name: str) -> int | None:
        """The descriptor that an earlier run kept, once."""

    def forget(self, name: str) -> None:
        """Close the store's duplicate."""


class NoStore:
    """Nothing outlives the process: for tests and runs by hand."""

    def keep(self, name: str, fd: int) -> None:
        return

    def take(self, name: str) -> int | None:
        return None

    def forget(self, name: str) -> None:
        return
