"""How far the secondary has applied the stream: a mapped file in the runtime directory, exact to one operation.

It survives the death of the process; a reboot removes it, and with it the session. An operation whose effect is done
but whose position is not yet here may come once more after a restart, so the applier treats the first one leniently;
for the one kind that cannot be recognised from the tree (an exchange of two names) its intent is noted here before.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from holdfast.errors import StorageError

_BYTES = 4096
_SESSION_AT = 1024
_SLOT_POSITION, _SLOT_EPOCH, _SLOT_IN_STEP, _SLOT_INTENT, _SLOT_INODE, _SLOT_DURABLE = range(6)


class AppliedState:
    """Session, epoch, position applied, and whether the session's marker of being in step has been applied."""

    def __init__(self, path: Path) -> None:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size != _BYTES:
                    os.ftruncate(fd, _BYTES)
                self._map = mmap.mmap(fd, _BYTES)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"{path}: the applied position cannot be mapped: {error}") from error
        self._bytes = memoryview(self._map)
        self._slots = self._bytes[:_SESSION_AT].cast("Q")

    @property
    def session(self) -> str:
        length = self._bytes[_SESSION_AT]
        return bytes(self._bytes[_SESSION_AT + 1 : _SESSION_AT + 1 + length]).decode("ascii")

    @property
    def epoch(self) -> int:
        return self._slots[_SLOT_EPOCH]

    @property
    def position(self) -> int:
        return self._slots[_SLOT_POSITION]

    @position.setter
    def position(self, value: int) -> None:
        self._slots[_SLOT_POSITION] = value

    @property
    def durable(self) -> int:
        """Up to here everything that was asked to be on disk is: what may be promised after a restart."""
        return self._slots[_SLOT_DURABLE]

    @durable.setter
    def durable(self, value: int) -> None:
        self._slots[_SLOT_DURABLE] = value

    @property
    def in_step(self) -> bool:
        return bool(self._slots[_SLOT_IN_STEP])

    @in_step.setter
    def in_step(self, value: bool) -> None:
        self._slots[_SLOT_IN_STEP] = int(value)

    @property
    def intent(self) -> tuple[int, int]:
        """Position before an exchange of names, and the inode that its target will have."""
        return self._slots[_SLOT_INTENT], self._slots[_SLOT_INODE]

    @intent.setter
    def intent(self, value: tuple[int, int]) -> None:
        self._slots[_SLOT_INTENT] = (1 << 64) - 1
        self._slots[_SLOT_INODE] = value[1]
        self._slots[_SLOT_INTENT] = value[0]

    def begin(self, session: str, epoch: int, position: int) -> None:
        """Start a session (none with an empty id)."""
        name = session.encode("ascii")
        assert len(name) < 128
        self._bytes[_SESSION_AT] = 0
        self._slots[_SLOT_IN_STEP] = 0
        self._slots[_SLOT_EPOCH] = epoch
        self._slots[_SLOT_POSITION] = position
        self._slots[_SLOT_DURABLE] = position
        self._bytes[_SESSION_AT + 1 : _SESSION_AT + 1 + len(name)] = name
        self._bytes[_SESSION_AT] = len(name)

    def close(self) -> None:
        self._slots.release()
        self._bytes.release()
        self._map.close()
