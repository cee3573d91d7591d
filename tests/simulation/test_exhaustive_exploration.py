"""Every interleaving of two nodes with up to one fault; more by hand (`python -m holdfast.testing.explore`).

One fault is about 7,000 states. With one command of an operator in addition it is 73,000 (swap) and 86,000 (stop).
"""

from __future__ import annotations

import pytest
from holdfast.testing.explore import FoundError, explore
from holdfast.testing.mutations import mutated


@pytest.mark.slow
def test_every_interleaving_with_one_fault_keeps_the_invariants() -> None:
    found = explore(faults=1)
    assert found.complete
    assert found.states > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["freeze skipped", "in-step starter goes alone"])
def test_exploration_finds_mistake(name: str) -> None:
    with mutated(name), pytest.raises(FoundError, match="VIOLATION"):
        explore(faults=2, seconds_max=90, states_max=150_000)
