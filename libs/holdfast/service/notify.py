"""The line between a service and its supervisor: sd_notify's datagrams (ready, lease, kept descriptors).

The protocol is systemd's (sd_notify(3), sd_pid_notify_with_fds(3)): newline-separated assignments to the socket named
by NOTIFY_SOCKET; descriptors travel as SCM_RIGHTS with FDSTORE=1 and FDNAME. Kept descriptors come back at the next
start as LISTEN_FDS / LISTEN_FDNAMES from descriptor 3 on (sd_listen_fds(3)).
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import MutableMapping
from contextlib import suppress

from holdfast.errors import UnavailableError

FIRST_KEPT_FD = 3
SEND_S_MAX = 2
"""How long a full queue of the supervisor may hold up what it must not miss."""
VARIABLES = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID")


class Notifier:
    """Speaks to the supervisor; silent when there is none (a service run by hand).

    Takes its variables out of the environment, so that programs that the service starts do not speak in its place.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        values = {name: environment.pop(name, "") for name in VARIABLES}
        path = values["NOTIFY_SOCKET"]
        # systemd's spelling of the abstract namespace, unix(7).
        self._path = f"\0{path[1:]}" if path.startswith("@") else path
        self._kept = _kept(values)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._path else None
        if self._socket is not None:
            # The kernel's own timeout; Python's would poll, which says nothing about the receiver's queue.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_S_MAX, 0))

    def ready(self) -> None:
        self._send("READY=1")

    def lease(self) -> None:
        """Renew the lease; a service that does not for longer than its lease is taken to hang and is killed.

        Never waits: when the supervisor does not read, the next renewal will do.
        """
        with suppress(UnavailableError):
            self._send("WATCHDOG=1", flags=socket.MSG_DONTWAIT)

    def stopping(self) -> None:
        """Say that the end has begun; never waits."""
        with suppress(UnavailableError):
            self._send("STOPPING=1", flags=socket.MSG_DONTWAIT)

    def spare(self, *, wanted: bool) -> None:
        """Say whether a spare process of this service is to wait for its turn; never waits, so it is to be repeated."""
        with suppress(UnavailableError):
            self._send(f"SPARE={int(wanted)}", flags=socket.MSG_DONTWAIT)

    def waiting(self) -> None:
        """Said by a spare: it has prepared all it can, and waits for its turn."""
        with suppress(UnavailableError):
            self._send("SPARE=ready", flags=socket.MSG_DONTWAIT)

    def keep(self, name: str, fd: int) -> None:
        """Have the supervisor hold a descriptor for the next start of this service; same name replaces.

        Raises UnavailableError when the supervisor does not take it within SEND_S_MAX, as do `ready` and `forget`.
        """
        self._send(f"FDSTORE=1\nFDNAME={name}", fd=fd)

    def forget(self, name: str) -> None:
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def take(self, name: str) -> int | None:
        """Return the descriptor kept under `name` by an earlier run, once."""
        return self._kept.pop(name, None)

    def close(self) -> None:
        """Let go of the socket; nothing is said any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str, *, fd: int | None = None, flags: int = 0) -> None:
        if self._socket is None:
            return
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self._socket.sendmsg([text.encode()], rights, flags, self._path)
        except (ConnectionError, FileNotFoundError):
            # The supervisor is gone; the kernel's signal ends this service (`holdfast.service.run`).
            return
        except BlockingIOError as error:
            raise UnavailableError(f"the supervisor does not read its socket within {SEND_S_MAX} s") from error


def _kept(values: dict[str, str]) -> dict[str, int]:
    """Descriptors by name; none when they were meant for another process."""
    count = int(values["LISTEN_FDS"]) if values["LISTEN_FDS"].isdecimal() else 0
    if values["LISTEN_PID"] not in ("", str(os.getpid())):
        return {}
    names = values["LISTEN_FDNAMES"].split(":")[:count]
    return {name: FIRST_KEPT_FD + place for place, name in enumerate(names) if name}
