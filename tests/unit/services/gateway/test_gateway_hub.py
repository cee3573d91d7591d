"""The newest facts in memory: readers who resume, and readers who are too slow."""

from __future__ import annotations

import asyncio

from services.gateway.hub import WAITING_MAX, Hub, Item


def item(number: int) -> Item:
    return Item(id=f"e{number}", module="shop", line=str(number))


async def take(hub: Hub, after: str, count: int) -> list[str]:
    found: list[str] = []
    async for each in hub.follow(after):
        found.append(each.id if each is not None else "reset")
        if len(found) == count:
            break
    return found


def test_reader_resumes_after_the_fact_it_names() -> None:
    async def scenario() -> None:
        hub = Hub()
        for number in range(5):
            await hub.put(item(number))
        assert await take(hub, "e2", 2) == ["e3", "e4"]

    asyncio.run(scenario())


def test_reader_whose_place_is_gone_is_told_to_begin_anew() -> None:
    async def scenario() -> None:
        hub = Hub()
        await hub.put(item(1))
        assert await take(hub, "unknown", 1) == ["reset"]

    asyncio.run(scenario())


def test_reader_that_is_too_slow_is_told_to_begin_anew_and_holds_nobody_up() -> None:
    async def scenario() -> None:
        hub = Hub()
        await hub.put(item(-1))
        reading = hub.follow("e-1")
        waiting = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0)
        for number in range(WAITING_MAX + 2):
            await hub.put(item(number))
        last = await waiting
        async for each in reading:
            last = each
        assert last is None

    asyncio.run(scenario())


def test_readers_end_when_the_hub_is_closed() -> None:
    async def scenario() -> None:
        hub = Hub()
        reading = asyncio.ensure_future(take(hub, "", 1))
        await asyncio.sleep(0)
        await hub.close()
        assert await reading == []

    asyncio.run(scenario())
