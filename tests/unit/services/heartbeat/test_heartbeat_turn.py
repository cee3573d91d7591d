"""Whose turn it is, and when a second process has to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from holdfast.events.module import AnnounceState, HeartbeatLink
from holdfast.events.state import Announcement, Role, Status
from holdfast.ids import Epoch
from holdfast.testing.services import NodePlace

from services.heartbeat.memory import Memory
from services.heartbeat.turn import SPARE_TIMEOUT_MS_MAX, Turn, needs_spare


@pytest.fixture
def memory() -> Iterator[Memory]:
    place = NodePlace()
    yield Memory(place.run_dir)
    place.remove()


def order(*timeouts_ms: int, timeout_ms: int = 1000) -> AnnounceState:
    announcement = Announcement(incarnation=1, number=1, role=Role.WAIT, status=Status.READY, epoch=Epoch(1))
    link = HeartbeatLink(ident="", lan="", local_address="", peer_address="", pulse_ms=0, timeout_ms=0)
    return AnnounceState(
        announcement=announcement,
        peer="node2",
        port=1,
        pulse_ms=20,
        timeout_ms=timeout_ms,
        key_file="",
        links=tuple(
            replace(link, ident=f"lan{number}", timeout_ms=each_ms) for number, each_ms in enumerate(timeouts_ms)
        ),
    )


def test_one_process_at_a_time_has_the_turn(memory: Memory) -> None:
    first, second = Turn(memory), Turn(memory)
    assert first.take_if_free()
    assert not second.take_if_free()
    first.give_away()
    assert second.take_if_free()


def test_who_waits_goes_on_when_the_turn_is_given_away(memory: Memory) -> None:
    first, second = Turn(memory), Turn(memory)
    assert first.take_if_free()
    waiter = threading.Thread(target=second.wait)
    waiter.start()
    assert waiter.is_alive()
    first.give_away()
    waiter.join(10)
    assert not waiter.is_alive()
    assert not Turn(memory).take_if_free()


@pytest.mark.parametrize(
    ("orders", "needed"),
    [
        ([], False),
        ([order(1000)], False),
        ([order(1000), order(1000, SPARE_TIMEOUT_MS_MAX)], True),
        ([order(0, timeout_ms=150)], True),
        ([order(1000, timeout_ms=150)], False),
        ([order(timeout_ms=150)], False),
    ],
)
def test_a_spare_is_needed_when_some_network_is_judged_quickly(orders: list[AnnounceState], needed: bool) -> None:
    """What holds is the network's own timeout, else the module's; an order without networks is none."""
    assert needs_spare(orders) is needed


def test_each_start_counts_higher_than_all_before(memory: Memory) -> None:
    """So that the peer takes a successor's beats for new at once."""
    numbers = [memory.next_incarnation() for _ in range(5)]
    assert numbers == sorted(set(numbers))
