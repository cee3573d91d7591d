"""The optional services: those that modules need (`services.json` in the run directory, by the state machine) and those
that an operator has switched on (`services-node.json`, by the gateway). Both are watched (inotify(7)).
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
from pathlib import Path

from services.supervisor.registry import Registry

FILE_NAME = "services.json"
NODE_FILE_NAME = "services-node.json"
SERVICES_MAX = 256
FILE_BYTES_MAX = 1 << 16
_IN_CLOSE_WRITE = 0x8
_IN_MOVED_TO = 0x80
_IN_DELETE = 0x200
"""linux/inotify.h"""
_EVENT_BYTES_MAX = 1 << 14
log = logging.getLogger("holdfast.supervisor")


class WantedServices:
    """Says which services are to run; `fd` becomes readable when that may have changed."""

    def __init__(self, run_dir: Path, registry: Registry) -> None:
        self._paths = (run_dir / FILE_NAME, run_dir / NODE_FILE_NAME)
        self._registry = registry
        library = ctypes.CDLL(None, use_errno=True)
        self.fd: int = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_DELETE
        if self.fd < 0 or library.inotify_add_watch(self.fd, os.fsencode(run_dir), mask) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(run_dir))

    def drain(self) -> None:
        """Take the pending notifications away."""
        try:
            while os.read(self.fd, _EVENT_BYTES_MAX):
                pass
        except BlockingIOError:
            return

    def read(self) -> tuple[str, ...] | None:
        """Return all services that are to run, or None when the list cannot be read (what runs then goes on)."""
        optional: list[str] = []
        for path in self._paths:
            try:
                if path.exists():
                    optional += parse(path.read_bytes()[:FILE_BYTES_MAX], self._registry)
            except (OSError, ValueError) as error:
                log.error("%s is not used: %s", path, error)
                return None
        return tuple(dict.fromkeys([*self._registry.always, *optional]))

    def close(self) -> None:
        os.close(self.fd)


def parse(data: bytes, registry: Registry) -> list[str]:
    """Return the known service names in `{"services": [name, …]}`; raise ValueError when it is anything else."""
    body = json.loads(data)
    names = body.get("services") if isinstance(body, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('not of the form {"services": ["name", …]}')
    for name in names:
        if registry.find(name) is None:
            log.error("there is no service %r", name)
    return [name for name in names if registry.find(name) is not None][:SERVICES_MAX]
