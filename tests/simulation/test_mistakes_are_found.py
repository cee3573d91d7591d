"""The simulation is worth something only if it finds mistakes: each deliberate one, within a few seeds."""

from __future__ import annotations

import pytest
from holdfast.errors import InvariantError
from holdfast.testing.mutations import MUTATIONS, SYNC_MUTATIONS, mutated
from holdfast.testing.simulate import simulate
from holdfast.testing.world import ViolationError

SEEDS_MAX = 60


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_simulation_finds_mistake(name: str) -> None:
    with mutated(name):
        for seed in range(1, SEEDS_MAX + 1):
            try:
                simulate(seed, steps=30)
            except (ViolationError, InvariantError):
                return
    pytest.fail(f"{SEEDS_MAX} seeds found nothing wrong with: {name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", SYNC_MUTATIONS)
def test_simulation_with_syncdelta_finds_mistake(name: str) -> None:
    with mutated(name):
        for seed in range(1, SEEDS_MAX + 1):
            try:
                simulate(seed, steps=40, split=False, sync_delta_ms=4_000)
            except (ViolationError, InvariantError):
                return
    pytest.fail(f"{SEEDS_MAX} seeds found nothing wrong with: {name}")


@pytest.mark.slow
def test_rules_are_as_shipped_after_a_mutation() -> None:
    with pytest.raises(ZeroDivisionError), mutated("epoch not raised"):
        _ = 1 / 0
    simulate(1, steps=10)
