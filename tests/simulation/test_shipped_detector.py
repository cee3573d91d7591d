"""The same simulations with the detector that the heartbeat service ships, which is also what `make sim` runs."""

from __future__ import annotations

import json

import pytest
from holdfast.testing.simulate import judge_named, main, simulate

SHIPPED = judge_named("shipped")


@pytest.mark.slow
@pytest.mark.parametrize("first", [20_000, 20_010, 20_020])
def test_invariants_hold_with_the_shipped_detector(first: int) -> None:
    """Whatever happens, what must always hold does."""
    for seed in range(first, first + 10):
        simulate(seed, steps=40, judge_factory=SHIPPED)


@pytest.mark.slow
@pytest.mark.parametrize("first", [30_000, 30_010])
def test_nothing_promised_is_missing_with_the_shipped_detector(first: int) -> None:
    """While one network always passes, nothing promised may be missing, without exception."""
    for seed in range(first, first + 10):
        assert simulate(seed, steps=40, judge_factory=SHIPPED, split=False).excused == 0


@pytest.mark.slow
def test_the_same_seed_replays_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Apart from the speed, two runs of a seed say the same."""
    summaries = []
    for _ in range(2):
        assert main(["--seed", "7", "--json"]) == 0
        summaries.append({**json.loads(capsys.readouterr().out), "times_real_time": 0})
    assert summaries[0] == summaries[1]
