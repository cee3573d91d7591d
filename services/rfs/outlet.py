"""The primary's end of the stream: records go out straight from the ring, acknowledgements come in.

Whoever needs an acknowledgement sends and receives by itself when it can, without waking another thread: under Python's
global lock each hand-over costs more than the round trip. The two locks are only ever tried, never waited for.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
import threading
import zlib

from services.rfs.stream import Window

log = logging.getLogger("holdfast.rfs.outlet")

ACKNOWLEDGEMENT = struct.Struct("<QQI")
"""promised u64, applied u64, crc32 of both u32."""
_RECEIVE_BYTES = 4096
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_NO_WAIT = int(socket.MSG_DONTWAIT)
"""As numbers: joining members of an enum costs more than the send itself takes to begin."""
_LEADER_WAIT_S = 0.1
"""How long a thread that waits for its own acknowledgement blocks in one receive before it looks around."""
WAKE_BYTES = 128 << 10
"""Unsent bytes at which the background thread is woken; less goes with the next barrier or tick."""


def pack_acknowledgement(promised: int, applied: int) -> bytes:
    """One acknowledgement on the wire: everything up to `promised` is as safe as promised, up to `applied` applied."""
    body = ACKNOWLEDGEMENT.pack(promised, applied, 0)[:16]
    return body + zlib.crc32(body).to_bytes(4, "little")


class Outlet:
    """One stream connection. Broken once `alive` is False; a new connection gets a new object."""

    def __init__(self, connection: socket.socket, window: Window, position: int) -> None:
        """Send from `position` on, which the secondary has applied."""
        self._connection = connection
        self._window = window
        self.sent = position
        self.promised = position
        self.alive = True
        self.sent_bytes = 0
        self._sending = threading.Lock()
        self._dirty = False
        self.reading = threading.Lock()
        self._partial = b""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        seconds, rest = divmod(_LEADER_WAIT_S, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))

    def push(self) -> bool:
        """Send what the ring holds as far as the socket takes it without waiting; False when something is left."""
        self._dirty = True
        while self._dirty and self.alive and self._sending.acquire(blocking=False):
            try:
                self._dirty = False
                if not self._send():
                    return False
            finally:
                self._sending.release()
        return True

    def receive(self, *, block: bool) -> None:
        """Take in acknowledgements, waiting a little for them when `block`; the caller holds `reading`."""
        self._take(0 if block else _NO_WAIT)

    def wake(self) -> None:
        """Have the background thread send soon."""
        os.eventfd_write(self._wake, 1)

    def rest(self, timeout_s: float, *, blocked: bool, listen: bool) -> None:
        """The background thread's sleep: until woken, until there is room to send, until something can be read."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        events = (select.POLLOUT if blocked else 0) | (select.POLLIN if listen else 0)
        if events and self.alive:
            poll.register(self._connection, events | select.POLLRDHUP)
        poll.poll(timeout_s * 1000)
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def shut(self) -> None:
        """End the connection; threads in `receive` come back at once. The descriptor stays until `close`."""
        self.alive = False
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It was not connected any more, which is what is wanted.
        self.wake()

    def close(self) -> None:
        """End the connection and release it, when nobody is sending or receiving any more."""
        self.shut()
        with self._sending, self.reading:
            self._connection.close()

    def __del__(self) -> None:
        # Only when no thread has the object any more may the number of this descriptor be used again.
        os.close(self._wake)

    def _send(self) -> bool:
        while True:
            data = self._window.unsent(self.sent)
            if not data:
                return True
            try:
                count = self._connection.send(data, _SEND_FLAGS)
            except BlockingIOError:
                self.wake()
                return False
            except OSError as error:
                self._lost(str(error))
                return True
            self.sent += count
            self.sent_bytes += count

    def _take(self, flags: int) -> None:
        try:
            data = self._connection.recv(_RECEIVE_BYTES, flags)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(str(error))
            return
        if not data:
            self._lost("the secondary closed the stream")
            return
        data = self._partial + data
        whole = len(data) // ACKNOWLEDGEMENT.size * ACKNOWLEDGEMENT.size
        self._partial = data[whole:]
        if whole:
            # Acknowledgements are cumulative: only the last one counts.
            self._acknowledged(data[whole - ACKNOWLEDGEMENT.size : whole])

    def _acknowledged(self, frame: bytes) -> None:
        promised, applied, crc = ACKNOWLEDGEMENT.unpack(frame)
        if zlib.crc32(frame[:16]) != crc or not applied <= promised <= self._window.head:
            self._lost("the secondary sent rubbish for an acknowledgement")
            return
        if not self._window.acknowledge(applied):
            self._lost(f"the secondary acknowledged position {applied}, which is none of this session")
            return
        if promised > self.promised:
            self.promised = promised

    def _lost(self, reason: str) -> None:
        if self.alive:
            log.warning("the stream to the secondary is broken: %s", reason)
        self.alive = False
