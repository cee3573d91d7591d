"""The cluster key in use, read again when its file changes, so that both nodes can change it without losing each other.

A new key is accepted at once, but beats go out under the old one until the peer has shown that it has the new one
too, or for HAND_OVER_NS; the old key is accepted for KEEP_OLD_NS.
"""

from __future__ import annotations

from pathlib import Path

from services.heartbeat.packet import Beat, PacketError, Sealer, decode

CHECK_NS = 1_000_000_000
HAND_OVER_NS = 10_000_000_000
KEEP_OLD_NS = 60_000_000_000
KEY_FILE_BYTES_MAX = 4096


class Keys:
    """Key of one module's beats. An empty path means beats without a key: damage is noticed, forgery is not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble = ""
        self._stamp: tuple[int, int, int] | None = None
        self._check_at_ns = 0
        self._changed_at_ns = 0
        self._new: Sealer | None = None if path else Sealer(b"")
        self._old: Sealer | None = None
        self._sends_old = False

    def refresh(self, at_ns: int) -> None:
        """Look at the file now and then. `trouble` says why it cannot be read; the key in use stays."""
        if self._old is not None:
            self._sends_old = self._sends_old and at_ns - self._changed_at_ns < HAND_OVER_NS
            if at_ns - self._changed_at_ns >= KEEP_OLD_NS:
                self._old = None
        if not self.path or at_ns < self._check_at_ns:
            return
        self._check_at_ns = at_ns + CHECK_NS
        try:
            about = Path(self.path).stat()
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
            if stamp == self._stamp:
                return
            with Path(self.path).open("rb") as file:
                key = file.read(KEY_FILE_BYTES_MAX).strip()
        except OSError as error:
            self.trouble = f"{self.path}: the cluster key cannot be read: {error}"
            return
        if not key:
            self.trouble = f"{self.path}: the cluster key is empty"
            return
        self.trouble = ""
        self._stamp = stamp
        self._old, self._new = self._new, Sealer(key)
        self._sends_old = self._old is not None
        self._changed_at_ns = at_ns

    def sealer(self) -> Sealer | None:
        """The key to send with; None while there is none, then nothing may be sent."""
        return self._old if self._sends_old else self._new

    def open(self, datagram: bytes) -> Beat:
        """Return the beat in a datagram; raise PacketError."""
        if self._new is None:
            raise PacketError("key", "there is no key to check a beat with")
        try:
            beat = decode(datagram, self._new)
        except PacketError as error:
            if self._old is None or error.kind != "key":
                raise
            return decode(datagram, self._old)
        self._sends_old = False
        return beat
