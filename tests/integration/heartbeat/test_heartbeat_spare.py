"""The hot spare: a real supervisor, real processes, 20 ms / 150 ms, and a peer that must not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from holdfast.events.membership import PeerFound, PeerLost, PeerReported

from tests.integration.heartbeat.peers import losses
from tests.integration.heartbeat.supervised_peer import (
    LonePeer,
    SupervisedPeer,
    go_on,
    is_alive,
    kill,
    stop,
    supervised_pair,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
KILLS = 10
HANGS = 3


def run(scenario: Callable[[SupervisedPeer, LonePeer], Awaitable[None]], *, timeout_ms: int = 150) -> None:
    async def whole() -> None:
        async with supervised_pair(pulse_ms=20, timeout_ms=timeout_ms) as (one, two):
            await scenario(one, two)

    asyncio.run(whole())


async def heard_again(one: SupervisedPeer, two: LonePeer, number: int) -> None:
    """Return when the peer has heard a new announcement of the first node: somebody obeys and beats there."""
    await one.until(lambda: one.entry().get("ready") is True)
    await one.announce(one.order(number=number))
    await two.heard.wait_for(PeerReported, lambda fact: fact.announcement.number == number)


def test_the_beating_process_is_killed_ten_times_and_the_peer_notices_nothing() -> None:
    """The spare goes on, another one is made; what the node announces never goes back."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        killed: tuple[int, ...] = ()
        for number in range(2, 2 + KILLS):
            beating, spare = await one.until_prepared(not_pids=killed)
            kill(beating)
            killed = (*killed, beating)
            assert (await one.until_prepared(not_pids=killed))[0] == spare
            await heard_again(one, two, number)
        assert losses(two.heard) == []
        numbers = [
            fact.payload.announcement.number for fact in two.heard.facts if isinstance(fact.payload, PeerReported)
        ]
        assert numbers == sorted(numbers)

    run(scenario)


def test_a_beating_process_that_hangs_is_ended_by_the_spare_before_the_peer_notices() -> None:
    """The supervisor would find out after two seconds. What the node announces never goes back."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        hung: tuple[int, ...] = ()
        for number in range(2, 2 + HANGS):
            beating, spare = await one.until_prepared(not_pids=hung)
            stop(beating)
            hung = (*hung, beating)
            assert (await one.until_prepared(not_pids=hung))[0] == spare
            assert not is_alive(beating)
            await heard_again(one, two, number)
        assert losses(two.heard) == []
        numbers = [
            fact.payload.announcement.number for fact in two.heard.facts if isinstance(fact.payload, PeerReported)
        ]
        assert numbers == sorted(numbers)

    run(scenario, timeout_ms=500)


def test_a_stopped_node_goes_on_with_the_process_that_beat_before() -> None:
    """Both stand still, so the spare has no right to say that the other one hangs."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        pids = await one.until_prepared()
        stop(pids[1], pids[0])
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "silence"
        go_on(*pids)
        await two.heard.wait_for(PeerFound)
        await heard_again(one, two, 2)
        assert await one.until_prepared() == pids

    run(scenario, timeout_ms=500)


def test_a_killed_spare_is_replaced_and_nobody_notices() -> None:
    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        beating, spare = await one.until_prepared()
        kill(spare)
        after = await one.until_prepared(not_pids=(spare,))
        assert after[0] == beating
        await heard_again(one, two, 2)
        assert losses(two.heard) == []

    run(scenario)


def test_with_both_killed_the_service_and_its_spare_come_back() -> None:
    """The peer may notice that, as without a spare; it finds the node again."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        pids = await one.until_prepared()
        kill(*pids)
        await one.until_prepared(not_pids=pids)
        await heard_again(one, two, 2)
        if losses(two.heard):
            await two.heard.wait_for(PeerFound)

    run(scenario)


def test_a_spare_is_kept_only_while_a_timeout_is_short() -> None:
    """A longer timeout gives a fresh start time enough, so the memory is given back."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        _, spare = await one.until_prepared()
        one.timeout_ms = 1000
        await one.announce(one.order(number=2))
        await one.until(lambda: one.entry().get("spare_pid") == 0)
        assert not is_alive(spare)
        one.timeout_ms = 500
        await one.announce(one.order(number=3))
        await one.until_prepared()

    run(scenario)


def test_the_end_of_the_node_is_said_once_and_nobody_beats_afterwards() -> None:
    """The spare is gone before the last words, so it cannot take them back."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        pids = await one.until_prepared()
        assert one.process is not None
        one.process.terminate()
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "last_words"
        await one.until(lambda: not any(is_alive(pid) for pid in pids))
        assert not any(isinstance(fact.payload, PeerFound) for fact in two.heard.facts)

    run(scenario, timeout_ms=500)


def test_neither_process_outlives_a_killed_supervisor() -> None:
    """The beating process says goodbye; the spare does not beat after that."""

    async def scenario(one: SupervisedPeer, two: LonePeer) -> None:
        pids = await one.until_prepared()
        assert one.process is not None
        one.process.kill()
        lost = await two.heard.wait_for(PeerLost)
        assert lost.reason == "last_words"
        await one.until(lambda: not any(is_alive(pid) for pid in pids))
        assert not any(isinstance(fact.payload, PeerFound) for fact in two.heard.facts)

    run(scenario, timeout_ms=500)
