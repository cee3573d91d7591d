"""Asks a network whether somebody else has an address, and hears when somebody says so."""

from __future__ import annotations

import asyncio
import logging
import socket

from holdfast.links import frames
from holdfast.links.model import Address, Interface
from holdfast.netlink.packet import packet_socket

FRAMES_PER_READ_MAX = 64
FRAME_BYTES_MAX = 256

log = logging.getLogger("holdfast.checkers")


class OtherOwner:
    """Listens on one interface until `close`. `news` is set whenever another owner is heard."""

    def __init__(self, interface: Interface, address: Address, news: asyncio.Event) -> None:
        """Raises OSError when the interface is gone or raw sockets are not allowed."""
        self.interface = interface
        self._address = address
        self._news = news
        self._heard = asyncio.Event()
        self._hardware = b""
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket = packet_socket(interface, address)
        self._loop.add_reader(self._socket.fileno(), self._read)

    async def ask(self, limit_s: float) -> str:
        """Return the hardware address of another owner that answers in time, else nothing."""
        self._heard.clear()
        try:
            self._socket.send(frames.question(self._address, self.interface.hardware))
        except OSError as error:
            # The interface is down: nobody can be asked, and nobody can be disturbed by a second owner.
            log.debug("asking for %s on %s failed: %s", self._address, self.interface.name, error)
            return ""
        try:
            async with asyncio.timeout(limit_s):
                await self._heard.wait()
        except TimeoutError:
            return ""
        return self._hardware.hex(":")

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        for _ in range(FRAMES_PER_READ_MAX):
            try:
                frame = self._socket.recv(FRAME_BYTES_MAX)
            except OSError:
                # Nothing more, or the interface went down: the kernel says so once.
                return
            owner = frames.owner(frame, self._address)
            if owner is not None and owner != self.interface.hardware:
                self._hardware = owner
                self._heard.set()
                self._news.set()
