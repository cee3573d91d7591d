"""The hybrid logical clock: cause sorts before effect, whatever the wall clocks say."""

from __future__ import annotations

from holdfast.clock import HybridClock, SystemClock
from holdfast.events.envelope import HybridTime
from hypothesis import given
from hypothesis import strategies as st

MS = 1_000_000
walls = st.integers(0, 10**15)
times = st.builds(HybridTime, wall_ms=st.integers(0, 10**12), counter=st.integers(0, 10**6))


class ManualClock:
    def __init__(self) -> None:
        self.at_ms = 0

    def wall_ns(self) -> int:
        return self.at_ms * MS

    def mono_ns(self) -> int:
        return 0


@given(st.lists(st.one_of(st.integers(0, 10**12), times), max_size=50))
def test_time_never_goes_back_and_is_after_all_that_was_seen(happenings: list[int | HybridTime]) -> None:
    """A number sets the wall clock (in any direction) and reads; a time is heard from another node."""
    wall = ManualClock()
    clock = HybridClock(wall)
    latest = clock.now()
    for happening in happenings:
        match happening:
            case int():
                wall.at_ms = happening
            case HybridTime():
                clock.observe(happening)
                latest = max(latest, happening)
        now = clock.now()
        assert now > latest
        latest = now


@given(st.integers(0, 10**12), st.integers(1, 10**9))
def test_time_follows_a_wall_clock_that_goes_forward(start_ms: int, step_ms: int) -> None:
    wall = ManualClock()
    clock = HybridClock(wall)
    wall.at_ms = start_ms + 1
    clock.now()
    wall.at_ms += step_ms
    assert clock.now() == HybridTime(wall_ms=start_ms + 1 + step_ms, counter=0)


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1]), walls), max_size=40))
def test_an_answer_is_later_than_its_question_on_any_node(messages: list[tuple[int, int, int]]) -> None:
    """Two nodes with unrelated wall clocks send each other messages; every receipt is after its sending."""
    walls_of = (ManualClock(), ManualClock())
    clocks = tuple(HybridClock(wall) for wall in walls_of)
    for sender, receiver, wall_ms in messages:
        walls_of[sender].at_ms = wall_ms
        sent = clocks[sender].now()
        clocks[receiver].observe(sent)
        assert clocks[receiver].now() > sent


def test_an_old_time_from_elsewhere_changes_nothing() -> None:
    wall = ManualClock()
    wall.at_ms = 500
    clock = HybridClock(wall)
    clock.now()
    clock.observe(HybridTime(wall_ms=100, counter=9))
    assert clock.now() == HybridTime(wall_ms=500, counter=1)


def test_the_machine_has_a_monotonic_clock_and_a_wall_clock() -> None:
    clock = SystemClock()
    first = clock.mono_ns()
    assert clock.mono_ns() >= first
    assert clock.wall_ns() > 1_700_000_000 * 10**9
