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


class Inherited:
    """What an earlier worker left in the store: taken once, and kept for another attempt when the first one fails."""

    def __init__(self, store: FdStore) -> None:
        self._store = store
        self._given_back: dict[str, int] = {}

    def take(self, name: str) -> int | None:
        """The descriptor, now the caller's; None when there is none (any more)."""
        found = self._given_back.pop(name, None)
        return self._store.take(name) if found is None else found

    def give_back(self, name: str, fd: int) -> None:
        """It could not be used yet. Closing it instead would leave a mount that nobody can serve."""
        self._given_back[name] = fd
