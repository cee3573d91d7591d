"""Tells the networks where an address is, again and again, and hears when somebody else says to have it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable

from holdfast.links import frames
from holdfast.links.model import Address, Interface
from holdfast.netlink.packet import packet_socket

log = logging.getLogger("holdfast.vip")

BURST_S = (0.0, 0.05, 0.2, 0.5, 1.0)
"""When announcements go out after taking an address: one may be lost, and some switches and hosts ignore a second one
within a second."""
FRAMES_PER_READ_MAX = 64
CONFLICT_KEPT_S = 30.0
"""How long a claim of another owner counts after it was last heard."""


class Announcer:
    """One address on one interface: announces, asks, listens, until `close`; calls `on_conflict` when that changes."""

    def __init__(self, interface: Interface, address: Address, on_conflict: Callable[[], None]) -> None:
        """Opens a packet socket; raises OSError when that is not allowed or the interface is gone."""
        self.interface = interface
        self.address = address
        self._on_conflict = on_conflict
        self._loop = asyncio.get_running_loop()
        self._socket = packet_socket(interface, address)
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._task: asyncio.Task[None] | None = None
        self._other: tuple[bytes, float] | None = None
        self._frames = frames.announcements(address, interface.hardware)

    @property
    def conflict(self) -> str:
        """Who else said to have the address, lately; empty when nobody did."""
        if self._other is None or time.monotonic() - self._other[1] > CONFLICT_KEPT_S:
            return ""
        return self._other[0].hex(":")

    def ask(self) -> None:
        """Probe for another owner; an answer is heard later."""
        self._send(frames.question(self.address, self.interface.hardware))

    def announce(self) -> None:
        """Send one round of announcements now."""
        for frame in self._frames:
            self._send(frame)

    def start(self, *, every_s: float, for_s: float) -> None:
        """Announce now and in a burst, ask after it, then (when every_s is not 0) periodically for a time."""
        if self._task is not None:
            self._task.cancel()
        self.announce()
        self._task = self._loop.create_task(self._go_on(every_s, for_s))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    async def _go_on(self, every_s: float, for_s: float) -> None:
        for before_s, at_s in itertools.pairwise(BURST_S):
            await asyncio.sleep(at_s - before_s)
            self.ask()
            self.announce()
        rounds = int(for_s / every_s) if every_s > 0 else 0
        for _ in range(rounds):
            await asyncio.sleep(every_s)
            self.ask()
            self.announce()

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.send(frame)
        except OSError as error:
            # The interface went down or away; it is announced again when it comes back.
            log.info("announcing %s on %s failed: %s", self.address, self.interface.name, error)

    def _read(self) -> None:
        was = self.conflict
        for _ in range(FRAMES_PER_READ_MAX):
            try:
                frame = self._socket.recv(256)
            except BlockingIOError:
                break
            except OSError:
                # The interface went down: the kernel says so once on the socket.
                break
            other = frames.owner(frame, self.address)
            if other is not None and other != self.interface.hardware:
                self._other = other, time.monotonic()
        if self.conflict != was:
            self._on_conflict()
            self._loop.call_later(CONFLICT_KEPT_S + 1, self._on_conflict)
