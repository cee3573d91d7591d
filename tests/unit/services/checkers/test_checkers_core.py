"""From single looks to init, up and down."""

from __future__ import annotations

import pytest

from services.checkers.core import Health, Look, Policy, Value, is_doubtful, is_recovering, judge

PASSED, FAILED, PROVED = Look.PASSED, Look.FAILED, Look.PROVED_DOWN
INIT, UP, DOWN = Value.INIT, Value.UP, Value.DOWN

TABLE: list[tuple[Policy, list[tuple[int, Look]], list[Value]]] = [
    (Policy(), [(0, PASSED)], [UP]),
    (Policy(), [(0, FAILED)], [DOWN]),
    (Policy(), [(0, PASSED), (1, FAILED), (2, PASSED)], [UP, DOWN, UP]),
    (Policy(failures=2), [(0, PASSED), (1, FAILED), (2, FAILED)], [UP, UP, DOWN]),
    (Policy(failures=2), [(0, PASSED), (1, FAILED), (2, PASSED), (3, FAILED)], [UP, UP, UP, UP]),
    (Policy(failures=2), [(0, PASSED), (1, PROVED)], [UP, DOWN]),
    (Policy(settle_ms=10), [(5, FAILED), (14, FAILED), (15, FAILED)], [INIT, INIT, DOWN]),
    (Policy(settle_ms=10), [(5, PROVED), (14, PASSED), (14, FAILED)], [INIT, UP, DOWN]),
    (Policy(failures=3, settle_ms=10), [(0, FAILED), (20, FAILED), (30, FAILED)], [INIT, INIT, DOWN]),
    (
        Policy(recover_ms=10),
        [(0, PASSED), (1, PROVED), (2, PASSED), (11, PASSED), (12, PASSED)],
        [UP, DOWN, DOWN, DOWN, UP],
    ),
    (Policy(recover_ms=10), [(0, PROVED), (1, PASSED), (6, FAILED), (12, PASSED), (22, PASSED)], [DOWN] * 4 + [UP]),
    (Policy(recover_ms=10), [(0, FAILED), (500, PASSED)], [DOWN, DOWN]),
]


@pytest.mark.parametrize(("policy", "looks", "expected"), TABLE)
def test_looks_become_values(policy: Policy, looks: list[tuple[int, Look]], expected: list[Value]) -> None:
    health = Health()
    values = []
    for at_ms, look in looks:
        health = judge(health, look, at_ms, policy)
        values.append(health.value)
    assert values == expected


def test_doubt_is_between_the_first_failure_and_down() -> None:
    policy = Policy(failures=2)
    up = judge(Health(), PASSED, 0, policy)
    once = judge(up, FAILED, 1, policy)
    twice = judge(once, FAILED, 2, policy)
    assert [is_doubtful(health) for health in (Health(), up, once, twice)] == [False, False, True, False]


def test_recovery_is_from_the_first_success_to_up() -> None:
    policy = Policy(recover_ms=10)
    down = judge(Health(), PROVED, 0, policy)
    well = judge(down, PASSED, 1, policy)
    up = judge(well, PASSED, 11, policy)
    assert [is_recovering(health) for health in (Health(), down, well, up)] == [False, False, True, False]
