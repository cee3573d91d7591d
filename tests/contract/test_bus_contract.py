"""What a bus must do, held against the one in memory and the one on a real NATS server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest
from holdfast.bus.memory import MemoryBus
from holdfast.bus.nats import NatsBus
from holdfast.bus.port import PENDING_MESSAGES_MAX, Bus
from holdfast.errors import PeerError, UnavailableError
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import NodePlace

WAIT_S_MAX = 20.0
"""Only a failing test waits this long."""


class Line(Protocol):
    """The connection of a bus, which a test may cut and mend."""

    def cut(self) -> None: ...
    async def mend(self) -> None: ...


class MemoryLine:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def cut(self) -> None:
        self._bus.connected = False

    async def mend(self) -> None:
        await self._bus.reconnect()


class NatsLine:
    """Cutting is killing the server."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server

    def cut(self) -> None:
        self._server.kill()

    async def mend(self) -> None:
        await asyncio.to_thread(self._server.start)


Scenario = Callable[[Bus, Line], Awaitable[None]]
Runner = Callable[[Scenario], None]


def in_memory(scenario: Scenario) -> None:
    async def run() -> None:
        bus = MemoryBus()
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await scenario(bus, MemoryLine(bus))
        finally:
            await bus.close()

    asyncio.run(run())


def on_nats(scenario: Scenario) -> None:
    place = NodePlace()
    server = NatsServer(place.run_dir)

    async def run() -> None:
        bus = await NatsBus.connect(place.run_dir, "test")
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await scenario(bus, NatsLine(server))
        finally:
            await bus.close()

    try:
        server.start()
        asyncio.run(run())
    finally:
        server.stop()
        place.remove()


@pytest.fixture(params=[in_memory, pytest.param(on_nats, marks=pytest.mark.slow)], ids=["memory", "nats"])
def run(request: pytest.FixtureRequest) -> Runner:
    chosen: Runner = request.param
    return chosen


class Mailbox:
    """A handler that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._news = asyncio.Condition()

    async def __call__(self, subject: str, data: bytes) -> None:
        async with self._news:
            self.messages.append((subject, data))
            self._news.notify_all()

    async def holds(self, count: int) -> list[bytes]:
        async with self._news:
            await self._news.wait_for(lambda: len(self.messages) >= count)
        return [data for _, data in self.messages]


async def subscribed(bus: Bus, subject: str = "a.b.c") -> Mailbox:
    mailbox = Mailbox()
    await bus.subscribe(subject, mailbox)
    return mailbox


async def all_delivered(bus: Bus) -> None:
    """Return when what was published before this has gone to the handlers: one more message has come back."""
    end = await subscribed(bus, "end.of.what.was.sent")
    await bus.publish("end.of.what.was.sent", b"")
    await end.holds(1)
    await asyncio.sleep(0)


async def connection_lost(bus: Bus) -> int:
    """Publish until that is dropped; return how many were dropped. Nothing says when a connection has broken."""
    while not bus.dropped:
        await bus.publish("nobody.listens", b"")
        await asyncio.sleep(0.01)
    return bus.dropped


def test_a_message_reaches_every_subscriber_with_its_subject(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        first, second = await subscribed(bus), await subscribed(bus)
        await bus.publish("a.b.c", b"one")
        assert await first.holds(1) == await second.holds(1) == [b"one"]
        assert first.messages == [("a.b.c", b"one")]

    run(scenario)


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("a.b.c", {"a.b.c"}),
        ("a.*.c", {"a.b.c", "a.x.c"}),
        ("*.b.*", {"a.b.c"}),
        ("a.>", {"a.b", "a.b.c", "a.x.c", "a.b.c.d"}),
        ("a.b.>", {"a.b.c", "a.b.c.d"}),
        ("*", {"a"}),
    ],
)
def test_wildcards_stand_for_one_token_or_the_rest(run: Runner, pattern: str, matching: set[str]) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        mailbox = await subscribed(bus, pattern)
        for subject in ("a", "a.b", "a.b.c", "a.x.c", "a.b.c.d"):
            await bus.publish(subject, b"")
        await all_delivered(bus)
        await mailbox.holds(len(matching))
        assert {subject for subject, _ in mailbox.messages} == matching

    run(scenario)


def test_messages_come_one_at_a_time_in_the_order_in_which_they_were_sent(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        begun: list[bytes] = []
        ended: list[bytes] = []
        done = asyncio.Event()

        async def slow(subject: str, data: bytes) -> None:
            assert begun == ended, "one message at a time"
            begun.append(data)
            await asyncio.sleep(0)
            ended.append(data)
            if len(ended) == 500:
                done.set()

        await bus.subscribe("a.b.*", slow)
        for number in range(500):
            await bus.publish(f"a.b.{number % 3}", str(number).encode())
        await done.wait()
        assert ended == [str(number).encode() for number in range(500)]

    run(scenario)


def test_a_question_is_answered(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        async def answerer(subject: str, data: bytes) -> bytes:
            return subject.encode() + b":" + data

        await bus.answer("ask.*", answerer)
        assert await bus.ask("ask.me", b"how", timeout_s=WAIT_S_MAX) == b"ask.me:how"

    run(scenario)


def test_questions_are_answered_beside_each_other(run: Runner) -> None:
    """One that takes long does not hold up the next."""

    async def scenario(bus: Bus, line: Line) -> None:
        quick_asked = asyncio.Event()

        async def answerer(subject: str, data: bytes) -> bytes:
            if data == b"slow":
                await quick_asked.wait()
            else:
                quick_asked.set()
            return data

        await bus.answer("ask", answerer)
        asked = [bus.ask("ask", data, timeout_s=WAIT_S_MAX) for data in (b"slow", b"quick")]
        assert await asyncio.gather(*asked) == [b"slow", b"quick"]

    run(scenario)


def test_a_question_that_nobody_hears_is_unavailable(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        with pytest.raises(UnavailableError, match=r"ask\.nobody"):
            await bus.ask("ask.nobody", b"", timeout_s=0.5)

    run(scenario)


def test_a_question_without_an_answer_in_time_is_unavailable(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        async def never(subject: str, data: bytes) -> bytes:
            await asyncio.Event().wait()
            return b""

        await bus.answer("ask", never)
        with pytest.raises(UnavailableError, match="ask"):
            await bus.ask("ask", b"", timeout_s=0.1)

    run(scenario)


def test_a_question_while_the_bus_is_down_is_unavailable(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        line.cut()
        await connection_lost(bus)
        with pytest.raises(UnavailableError):
            await bus.ask("ask", b"", timeout_s=0.5)

    run(scenario)


def test_an_answerer_that_fails_is_no_answer_and_is_told(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        failures: list[Exception] = []
        bus.on_failed(failures.append)

        async def failing(subject: str, data: bytes) -> bytes:
            raise ZeroDivisionError

        await bus.answer("ask", failing)
        with pytest.raises(UnavailableError):
            await bus.ask("ask", b"", timeout_s=0.2)
        assert [type(error) for error in failures] == [ZeroDivisionError]

    run(scenario)


def test_a_handler_that_fails_is_told_and_the_next_message_still_comes(run: Runner) -> None:
    """An error that nobody awaits must not vanish; the publisher has nothing to do with it."""

    async def scenario(bus: Bus, line: Line) -> None:
        failures: list[Exception] = []
        bus.on_failed(failures.append)
        seen = Mailbox()

        async def failing(subject: str, data: bytes) -> None:
            await seen(subject, data)
            if data == b"bad":
                raise ZeroDivisionError

        await bus.subscribe("a", failing)
        await bus.publish("a", b"bad")
        await bus.publish("a", b"good")
        assert await seen.holds(2) == [b"bad", b"good"]
        assert [type(error) for error in failures] == [ZeroDivisionError]

    run(scenario)


def test_an_error_about_one_message_is_not_a_failure_of_the_service(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        failures: list[Exception] = []
        bus.on_failed(failures.append)
        seen = Mailbox()

        async def refusing(subject: str, data: bytes) -> None:
            await seen(subject, data)
            raise PeerError("rubbish")

        await bus.subscribe("a", refusing)
        await bus.publish("a", b"1")
        await bus.publish("a", b"2")
        await seen.holds(2)
        await all_delivered(bus)
        assert failures == []

    run(scenario)


def test_while_the_bus_is_down_publishing_returns_and_counts(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        line.cut()
        before = await connection_lost(bus)
        for _ in range(100):
            await bus.publish("a", b"x" * 10_000)
        assert bus.dropped == before + 100

    run(scenario)


def test_subscriptions_come_back_and_it_is_said(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        back = asyncio.Event()

        async def reconnected() -> None:
            back.set()

        async def answerer(subject: str, data: bytes) -> bytes:
            return data

        bus.on_reconnected(reconnected)
        mailbox = await subscribed(bus, "a.*")
        await bus.answer("ask", answerer)
        for count in (1, 2):
            line.cut()
            bus.dropped = 0
            await connection_lost(bus)
            await line.mend()
            await back.wait()
            back.clear()
            await bus.publish("a.b", b"again")
            assert len(await mailbox.holds(count)) == count
            assert await bus.ask("ask", b"still", timeout_s=WAIT_S_MAX) == b"still"

    run(scenario)


def test_a_callback_of_reconnection_may_use_the_bus_and_may_fail(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        failures: list[Exception] = []
        mailbox = await subscribed(bus, "a")

        async def failing() -> None:
            raise OSError("not the connection's")

        async def publishing() -> None:
            await bus.publish("a", b"back")

        bus.on_failed(failures.append)
        bus.on_reconnected(failing)
        bus.on_reconnected(publishing)
        line.cut()
        await connection_lost(bus)
        await line.mend()
        assert await mailbox.holds(1) == [b"back"]
        assert len(failures) == 1

    run(scenario)


def test_a_slow_handler_holds_up_neither_the_publisher_nor_other_subscriptions(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        go_on = asyncio.Event()
        handled = Mailbox()

        async def slow(subject: str, data: bytes) -> None:
            await go_on.wait()
            await handled(subject, data)

        await bus.subscribe("a", slow)
        quick = await subscribed(bus, "a")
        for number in range(100):
            await bus.publish("a", str(number).encode())
        assert len(await quick.holds(100)) == 100
        assert handled.messages == []
        go_on.set()
        assert await handled.holds(100) == [str(number).encode() for number in range(100)]
        assert bus.missed == 0

    run(scenario)


def test_what_waits_for_a_handler_is_bounded_and_the_rest_counts_as_missed(run: Runner) -> None:
    """The connection outlives it: what comes after the handler has caught up is delivered."""

    async def scenario(bus: Bus, line: Line) -> None:
        go_on = asyncio.Event()
        handled = Mailbox()
        surplus = 100

        async def stuck(subject: str, data: bytes) -> None:
            await go_on.wait()
            await handled(subject, data)

        await bus.subscribe("a", stuck)
        other = await subscribed(bus, "b")
        for _ in range(PENDING_MESSAGES_MAX + 1 + surplus):
            await bus.publish("a", b"")
        await bus.publish("b", b"")
        await other.holds(1)
        assert surplus <= bus.missed <= surplus + 1
        go_on.set()
        await handled.holds(PENDING_MESSAGES_MAX)
        await bus.publish("a", b"last")
        while handled.messages[-1][1] != b"last":
            await handled.holds(len(handled.messages) + 1)

    run(scenario)


def test_after_the_end_no_handler_is_called(run: Runner) -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        mailbox = await subscribed(bus)
        await bus.close()
        await bus.publish("a.b.c", b"late")
        await asyncio.sleep(0)
        assert mailbox.messages == []

    run(scenario)


@pytest.mark.slow
def test_a_subscription_stands_when_subscribing_has_returned_on_nats() -> None:
    """Also for what another connection sends: a service that says that it is ready can be given orders."""
    place = NodePlace()
    server = NatsServer(place.run_dir)

    async def run() -> None:
        listener = await NatsBus.connect(place.run_dir, "listener")
        sender = await NatsBus.connect(place.run_dir, "sender")
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                for number in range(200):
                    mailbox = await subscribed(listener, f"a.{number}")
                    await sender.publish(f"a.{number}", b"at once")
                    assert await mailbox.holds(1) == [b"at once"]
        finally:
            await listener.close()
            await sender.close()

    try:
        server.start()
        asyncio.run(run())
    finally:
        server.stop()
        place.remove()


@pytest.mark.slow
def test_missed_messages_are_asked_for_again_on_nats() -> None:
    """As after a reconnection, since only asking brings back what was lost."""

    async def scenario(bus: Bus, line: Line) -> None:
        go_on = asyncio.Event()
        asked_again = asyncio.Event()

        async def stuck(subject: str, data: bytes) -> None:
            await go_on.wait()

        async def again() -> None:
            asked_again.set()

        bus.on_reconnected(again)
        await bus.subscribe("a", stuck)
        for _ in range(PENDING_MESSAGES_MAX + 10):
            await bus.publish("a", b"")
        await asked_again.wait()
        go_on.set()

    on_nats(scenario)


@pytest.mark.slow
def test_a_message_larger_than_the_server_takes_is_dropped_and_the_connection_stays() -> None:
    async def scenario(bus: Bus, line: Line) -> None:
        mailbox = await subscribed(bus, "a")
        await bus.publish("a", b"x" * (64 << 20))
        assert bus.dropped == 1
        await bus.publish("a", b"small")
        assert await mailbox.holds(1) == [b"small"]

    on_nats(scenario)


@pytest.mark.parametrize("text", [None, "", "{", "[]", json.dumps({"url": "nats://127.0.0.1:1"})])
def test_a_bus_without_an_address_is_unavailable(text: str | None) -> None:
    place = NodePlace()
    try:
        if text is not None:
            (place.run_dir / "bus.json").write_text(text)
        with pytest.raises(UnavailableError, match=r"bus\.json"):
            asyncio.run(NatsBus.connect(place.run_dir, "test"))
    finally:
        place.remove()


@pytest.mark.slow
def test_a_server_that_starts_later_is_waited_for() -> None:
    """A service may be started while the bus is being restarted."""
    place = NodePlace()
    server = NatsServer(place.run_dir)
    server.start()
    server.kill()

    async def run() -> None:
        connecting = asyncio.create_task(NatsBus.connect(place.run_dir, "test"))
        done, _ = await asyncio.wait({connecting}, timeout=0.2)
        assert not done
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(WAIT_S_MAX):
            bus = await connecting
        await bus.close()

    try:
        asyncio.run(run())
    finally:
        server.stop()
        place.remove()
