"""The supervisor's end of sd_notify's datagrams: who says what, with which descriptors."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATAGRAM_BYTES_MAX = 4096
DESCRIPTORS_MAX = 16
"""Per datagram."""
_CREDENTIALS = struct.Struct("3i")
"""struct ucred of sys/socket.h: process, user, group."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One datagram. pid: as the kernel vouches for it. The receiver owns `descriptors`."""

    pid: int
    values: dict[str, str]
    descriptors: tuple[int, ...]

    def drop(self) -> None:
        """Close what came with it."""
        for fd in self.descriptors:
            os.close(fd)


class NotifySocket:
    """Bound at `path`; never blocks."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        path.chmod(0o600)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def receive(self) -> Iterator[Notice]:
        """Yield every datagram that waits."""
        ancillary = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
        while True:
            try:
                data, control, _, _ = self.socket.recvmsg(DATAGRAM_BYTES_MAX, ancillary, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            yield _notice(data, control)

    def close(self) -> None:
        self.socket.close()


def _notice(data: bytes, control: list[tuple[int, int, bytes]]) -> Notice:
    pid = 0
    descriptors = array.array("i")
    for level, kind, body in control:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS and len(body) >= _CREDENTIALS.size:
            pid = _CREDENTIALS.unpack_from(body)[0]
        elif kind == socket.SCM_RIGHTS:
            descriptors.frombytes(body[: len(body) - len(body) % descriptors.itemsize])
    pairs = (line.partition("=") for line in data.decode(errors="replace").splitlines())
    return Notice(pid=pid, values={key: value for key, _, value in pairs if key}, descriptors=tuple(descriptors))
