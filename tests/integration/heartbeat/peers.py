"""Two heartbeat services as real processes, each on its own bus, hearing each other over two loopback networks."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from holdfast.events.membership import HeartbeatLinkChanged, PeerFound, PeerLost
from holdfast.events.module import AnnounceState, HeartbeatLink
from holdfast.events.state import Announcement, Role, Status
from holdfast.ids import Epoch
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

LIFELINE = """
import select, socket, sys
servers = []
for address in sys.argv[2:]:
    servers.append(socket.create_server((address, int(sys.argv[1]))))
print("ready", flush=True)
kept = []
while True:
    for server in select.select(servers, [], [])[0]:
        kept.append(server.accept()[0])
"""
KEY = b"the key of this test cluster"


def free_port() -> int:
    """A UDP and TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """One node: its place, bus, heartbeat and the listener that stands for its supervisor."""

    def __init__(self, number: int, ports: tuple[int, int], *, pulse_ms: int, timeout_ms: int) -> None:
        self.number, self.port, self.lifeline_port = number, *ports
        self.pulse_ms, self.timeout_ms = pulse_ms, timeout_ms
        self.place = NodePlace(f"node{number}")
        (self.place.config_dir / "node.toml").write_text(f"lifeline_port = {self.lifeline_port}\n")
        self.key_file = self.place.config_dir / "cluster.key"
        self.key_file.write_bytes(KEY)
        self.bus = NatsServer(self.place.run_dir)
        self.heartbeat = ServiceProcess(self.place, "services.heartbeat")
        self.lifeline: subprocess.Popen[bytes] | None = None
        self.listener: Listener | None = None

    def address(self, network: int, number: int) -> str:
        return f"127.{self.port % 200 + 20}.{network}.{number}"

    def order(self, *, number: int = 1, **changes: object) -> AnnounceState:
        announcement = Announcement(
            incarnation=self.number, number=number, role=Role.WAIT, status=Status.READY, epoch=Epoch(1)
        )
        other = 3 - self.number
        order = AnnounceState(
            announcement=announcement,
            peer=f"node{other}",
            port=self.port,
            pulse_ms=self.pulse_ms,
            timeout_ms=self.timeout_ms,
            key_file=str(self.key_file),
            links=tuple(
                HeartbeatLink(
                    ident=ident,
                    lan=ident,
                    local_address=self.address(network, self.number),
                    peer_address=self.address(network, other),
                    pulse_ms=self.pulse_ms,
                    timeout_ms=self.timeout_ms,
                )
                for network, ident in enumerate(("blue", "red"))
            ),
        )
        return replace(order, **changes)  # type: ignore[arg-type]

    @property
    def heard(self) -> Listener:
        assert self.listener is not None
        return self.listener

    async def start(self) -> None:
        self.bus.start()
        self.listen_as_supervisor()
        self.listener = await Listener.connect(self.place)
        self.heartbeat.start()
        await self.heard.service_started("heartbeat")
        await self.announce(self.order())

    def listen_as_supervisor(self) -> None:
        addresses = [self.address(network, self.number) for network in (0, 1)]
        self.lifeline = subprocess.Popen(
            [sys.executable, "-c", LIFELINE, str(self.lifeline_port), *addresses], stdout=subprocess.PIPE
        )
        assert self.lifeline.stdout is not None
        assert self.lifeline.stdout.readline() == b"ready\n"
        self.lifeline.stdout.close()

    async def announce(self, order: AnnounceState) -> None:
        await self.heard.order("shop", "heartbeat", order)

    def kill(self) -> None:
        """Every process of the node at once; its kernel lives."""
        os.kill(self.heartbeat.pid, signal.SIGKILL)
        if self.lifeline is not None:
            self.lifeline.kill()
            self.lifeline.wait()
            self.lifeline = None

    async def close(self) -> None:
        self.heartbeat.kill()
        if self.lifeline is not None:
            self.lifeline.kill()
            self.lifeline.wait()
        if self.listener is not None:
            await self.listener.close()
        self.bus.stop()
        self.place.remove()


@asynccontextmanager
async def pair(*, pulse_ms: int = 100, timeout_ms: int = 1000) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two nodes that have found each other on both networks."""
    ports = (free_port(), free_port())
    peers = tuple(Peer(number, ports, pulse_ms=pulse_ms, timeout_ms=timeout_ms) for number in (1, 2))
    try:
        for peer in peers:
            await peer.start()
        for peer in peers:
            await peer.heard.wait_for(PeerFound)
            for ident in ("blue", "red"):
                await peer.heard.wait_for(
                    HeartbeatLinkChanged,
                    lambda link, ident=ident: link == both_ways(ident),  # type: ignore[misc]
                )
        for peer in peers:
            peer.heard.forget()
        yield peers[0], peers[1]
    finally:
        for peer in peers:
            await peer.close()


def both_ways(ident: str) -> HeartbeatLinkChanged:
    return HeartbeatLinkChanged(ident=ident, up=True, heard_by_peer=True)


Scenario = Callable[[Peer, Peer], Awaitable[None]]


def run(scenario: Scenario, *, pulse_ms: int = 100, timeout_ms: int = 1000) -> None:
    async def whole() -> None:
        async with pair(pulse_ms=pulse_ms, timeout_ms=timeout_ms) as (one, two):
            await scenario(one, two)

    asyncio.run(whole())


def losses(listener: Listener) -> list[PeerLost]:
    return [envelope.payload for envelope in listener.facts if isinstance(envelope.payload, PeerLost)]
