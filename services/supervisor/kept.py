"""Descriptors that services leave with the supervisor over their own death (FDSTORE of sd_pid_notify_with_fds(3))."""

from __future__ import annotations

import logging
import os
import re

KEPT_PER_SERVICE_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
"""A colon would split LISTEN_FDNAMES."""
log = logging.getLogger("holdfast.supervisor")


class KeptDescriptors:
    """Descriptors by service instance and name; owns them."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, int]] = {}

    def of(self, service: str) -> dict[str, int]:
        """Return the descriptors kept for an instance, by name."""
        return dict(self._kept.get(service, {}))

    def keep(self, service: str, name: str, fd: int) -> None:
        """Take over `fd`; one that is refused (bad name, too many) is closed."""
        store = self._kept.setdefault(service, {})
        if not _NAME.match(name) or (name not in store and len(store) >= KEPT_PER_SERVICE_MAX):
            log.warning("descriptor %r of %s is not kept: bad name, or %d kept", name, service, len(store))
            os.close(fd)
            return
        self.forget(service, name)
        store[name] = fd

    def forget(self, service: str, name: str) -> None:
        """Close what is kept under this name, if anything."""
        fd = self._kept.get(service, {}).pop(name, None)
        if fd is not None:
            os.close(fd)

    def forget_all(self, service: str) -> None:
        """Close everything kept for an instance that is not wanted any more."""
        for name in self.of(service):
            self.forget(service, name)
