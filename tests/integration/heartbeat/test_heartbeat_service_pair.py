"""Two heartbeat services as real processes: what they tell about each other, and what does not deceive them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from dataclasses import replace

import pytest
from holdfast.events.membership import HeartbeatLinkChanged, PeerFound, PeerLost, PeerReported
from holdfast.events.module import ReportFacts
from holdfast.testing.services import WAIT_S_MAX

from tests.integration.heartbeat.peers import Peer, both_ways, losses, run


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
