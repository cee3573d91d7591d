"""From single looks to init, up and down."""

from __future__ import annotations

import pytest

from services.checkers.core import Health, Look, Policy, Value, is_doubtful, judge

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
