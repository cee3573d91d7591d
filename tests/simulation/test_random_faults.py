"""Whole clusters in virtual time under random faults; every invariant is checked after every step."""

from __future__ import annotations

import pytest
from holdfast.events.module import WitnessKind
from holdfast.testing.simulate import main, simulate
from holdfast.testing.world import ViolationError

SEEDS_PER_TEST = 10


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 60, SEEDS_PER_TEST))
def test_invariants_hold_and_clusters_heal_under_random_faults(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        simulate(seed, steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_060, SEEDS_PER_TEST))
def test_nothing_promised_is_ever_missing_while_one_network_passes(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        outcome = simulate(seed, steps=40, split=False)
        assert outcome.excused == 0


@pytest.mark.slow
def test_with_syncdelta_only_what_was_promised_within_it_is_ever_missing() -> None:
    gambles = 0
    for seed in range(20_000, 20_030):
        outcome = simulate(seed, steps=40, split=False, sync_delta_ms=4_000)
        assert outcome.excused == 0
        gambles += outcome.gambles
    assert gambles > 0


@pytest.mark.slow
def test_with_syncdelta_and_a_lease_no_two_nodes_are_alone() -> None:
    for seed in range(21_000, 21_020):
        assert simulate(seed, steps=40, witness=WitnessKind.LEASE, sync_delta_ms=4_000).excused == 0


@pytest.mark.slow
def test_same_seed_replays_the_same_run() -> None:
    assert simulate(77, steps=25) == simulate(77, steps=25)


@pytest.mark.slow
def test_command_prints_one_line_with_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--count", "2", "--steps", "5"]) == 0
    assert capsys.readouterr().out.startswith("simulate: ok seeds=3..4 steps=5 ")


@pytest.mark.slow
def test_failure_prints_the_seed_and_the_story(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(seed: int, **_: object) -> None:
        raise ViolationError(f"seed {seed}: something\n  1.000 s  node1: something happened")

    monkeypatch.setattr("holdfast.testing.simulate.simulate", fail)
    assert main(["--seed", "12"]) == 1
    out = capsys.readouterr().out
    assert "something happened" in out
    assert "replay: --seed 12 --steps 30" in out
