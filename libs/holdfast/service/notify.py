"""The line between a service and its supervisor: sd_notify's datagrams (ready, lease, kept descriptors).

The protocol is systemd's (sd_notify(3), sd_pid_notify_with_fds(3)): newline-separated assignments to the socket named
by NOTIFY_SOCKET; descriptors travel as SCM_RIGHTS with FDSTORE=1 and FDNAME. Kept descriptors come back at the next
start as LISTEN_FDS / LISTEN_FDNAMES from descriptor 3 on (sd_listen_fds(3)).
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import MutableMapping

FIRST_KEPT_FD = 3


class Notifier:
    """Speaks to the supervisor; silent when there is none (a service run by hand)."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        names = environment.get("LISTEN_FDNAMES", "").split(":") if environment.get("LISTEN_FDS") else []
        self._kept = {name: FIRST_KEPT_FD + place for place, name in enumerate(names) if name}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._path else None

    def ready(self) -> None:
        self._send("READY=1")

    def lease(self) -> None:
        """Renew the lease; a service that does not for longer than its lease is taken to hang and is killed."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def keep(self, name: str, fd: int) -> None:
        """Have the supervisor hold a descriptor for the next start of this service; same name replaces."""
        self._send(f"FDSTORE=1\nFDNAME={name}", fd)

    def forget(self, name: str) -> None:
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def take(self, name: str) -> int | None:
        """Return the descriptor kept under `name` by an earlier run, once."""
        return self._kept.pop(name, None)

    def _send(self, text: str, fd: int | None = None) -> None:
        if self._socket is None:
            return
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self._socket.sendmsg([text.encode()], rights, 0, self._path)
        except (ConnectionError, FileNotFoundError):
            # The supervisor is gone; the orphan watch in `holdfast.service.run` ends this service.
            return
