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

import pytest
from holdfast.events.membership import HeartbeatLinkChanged, PeerFound, PeerLost, PeerReported
from holdfast.events.module import AnnounceState, HeartbeatLink, ReportFacts
from holdfast.events.state import Announcement, Role, Status
from holdfast.ids import Epoch
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import WAIT_S_MAX, Listener, NodePlace, ServiceProcess

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


@pytest.mark.slow
def test_nodes_hear_each_other_and_every_change_of_what_they_are() -> None:
    """An announcement arrives whole, and again when it changes."""

    async def scenario(one: Peer, two: Peer) -> None:
        order = one.order(number=2)
        order = replace(order, announcement=replace(order.announcement, resources={"custom.disk": "up"}))
        await one.announce(order)
        heard = await two.heard.wait_for(PeerReported, lambda fact: fact.announcement.number == 2)
        assert heard.announcement == order.announcement

    run(scenario)


@pytest.mark.slow
def test_announcements_larger_than_a_datagram_are_carried() -> None:
    """Many resources are packed, or fragmented by the network."""

    async def scenario(one: Peer, two: Peer) -> None:
        order = one.order(number=2)
        resources = {f"custom.check{number}": os.urandom(4).hex() for number in range(200)}
        order = replace(order, announcement=replace(order.announcement, resources=resources))
        await one.announce(order)
        heard = await two.heard.wait_for(PeerReported, lambda fact: fact.announcement.number == 2)
        assert heard.announcement.resources == resources

    run(scenario)


@pytest.mark.slow
def test_a_node_whose_processes_died_is_lost_by_evidence() -> None:
    """Its kernel closes and refuses the lifeline; nobody waits for the timeout."""

    async def scenario(one: Peer, two: Peer) -> None:
        one.kill()
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "evidence"
        assert "refused on blue, red" in lost.evidence

    run(scenario, timeout_ms=10_000)


@pytest.mark.slow
def test_a_node_that_falls_silent_is_lost_by_timeout() -> None:
    """A stopped heartbeat with a standing lifeline leaves nothing but silence."""

    async def scenario(one: Peer, two: Peer) -> None:
        os.kill(one.heartbeat.pid, signal.SIGSTOP)
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "silence"
        os.kill(one.heartbeat.pid, signal.SIGCONT)
        two.heard.forget()
        await two.heard.wait_for(PeerFound)

    run(scenario, timeout_ms=500)


@pytest.mark.slow
def test_a_stopped_heartbeat_does_not_lose_its_peer_when_it_wakes() -> None:
    """The backlog of beats is read before anything is judged."""

    async def scenario(one: Peer, two: Peer) -> None:
        os.kill(one.heartbeat.pid, signal.SIGSTOP)
        await two.heard.wait_for(PeerLost)
        os.kill(one.heartbeat.pid, signal.SIGCONT)
        await two.announce(two.order(number=7))
        await one.heard.wait_for(PeerReported, lambda fact: fact.announcement.number == 7)
        assert losses(one.heard) == []

    run(scenario, timeout_ms=500)


@pytest.mark.slow
def test_an_orderly_end_is_said_with_last_words() -> None:
    """SIGTERM lets the peer act at once."""

    async def scenario(one: Peer, two: Peer) -> None:
        assert one.heartbeat.stop() == 0
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "last_words"
        assert "the node stops" in lost.evidence

    run(scenario)


@pytest.mark.slow
def test_a_killed_heartbeat_is_back_before_anybody_notices_even_without_a_bus() -> None:
    """It resumes its order from its own file while NATS is down; the peer never calls the node lost."""

    async def scenario(one: Peer, two: Peer) -> None:
        back = asyncio.Event()

        async def note() -> None:
            back.set()

        one.heard.context.bus.on_reconnected(note)
        one.bus.kill()
        for number in (1, 2, 3):
            one.heartbeat.kill()
            one.heartbeat.start()
            await two.announce(two.order(number=10 + number))
            await asyncio.to_thread(wait_for_beats, one)
        one.heard.forget()
        one.bus.start()
        # Whichever of the two is back on the bus first: the service tells what it knows at its start and on request.
        await asyncio.wait_for(back.wait(), WAIT_S_MAX)
        await one.heard.order("shop", "heartbeat", ReportFacts())
        await one.heard.wait_for(PeerFound)
        assert losses(two.heard) == []

    run(scenario, timeout_ms=3000)


def wait_for_beats(peer: Peer) -> None:
    """Return when the service of this node has taken a beat: its account of the peer is written anew."""
    seen = peer.place.run_dir / "heartbeat" / "shop.seen"
    before = seen.stat().st_mtime_ns
    with open(seen, "rb") as file:
        while os.fstat(file.fileno()).st_mtime_ns == before:
            os.sched_yield()


@pytest.mark.slow
def test_beats_with_another_key_or_rubbish_change_nothing() -> None:
    """Whoever does not know the cluster key cannot speak for a node, nor silence it."""

    async def scenario(one: Peer, two: Peer) -> None:
        two.heard.forget()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((two.address(0, 77), two.port))
            for size in (0, 1, 60, 1400, 9000, 60_000):
                stranger.sendto(os.urandom(size), (two.address(0, 2), two.port))
        one.key_file.write_bytes(b"not the key of the cluster")
        one.heartbeat.kill()
        one.heartbeat.start()
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "silence"

    run(scenario, timeout_ms=500)


@pytest.mark.slow
def test_facts_are_repeated_on_request() -> None:
    """A restarted state machine asks and learns the present condition."""

    async def scenario(one: Peer, two: Peer) -> None:
        two.heard.forget()
        await two.heard.order("_node", "all", ReportFacts())
        await two.heard.wait_for(PeerReported)
        await two.heard.wait_for(PeerFound)
        await two.heard.wait_for(HeartbeatLinkChanged, lambda link: link == both_ways("red"))
        one.kill()
        await two.heard.wait_for(PeerLost)
        two.heard.forget()
        await two.heard.order("shop", "heartbeat", ReportFacts())
        await two.heard.wait_for(PeerLost)

    run(scenario)


@pytest.mark.slow
def test_an_order_without_networks_ends_the_beats() -> None:
    """A module that is taken away is not announced any more, not even after a restart."""

    async def scenario(one: Peer, two: Peer) -> None:
        await one.announce(one.order(links=()))
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "silence"
        assert not (one.place.run_dir / "heartbeat" / "shop.order").exists()

    run(scenario, timeout_ms=500)
