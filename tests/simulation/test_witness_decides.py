"""Clusters with a witness under random faults, of which the witness has its own: it dies, is cut off, hears late."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from holdfast.core import witness
from holdfast.core.authority import NO_WITNESS
from holdfast.errors import InvariantError
from holdfast.events.module import WitnessKind
from holdfast.testing import witness as simulated
from holdfast.testing.explore import FoundError, explore
from holdfast.testing.simulate import simulate
from holdfast.testing.world import Variant, ViolationError
from holdfast.witness.lease import Decision, Lease, Stand

SEEDS_MAX = 40


@pytest.mark.slow
@pytest.mark.parametrize("first", [40_000, 40_010])
def test_with_a_lease_nobody_acts_twice_and_nothing_promised_is_missing_whatever_is_cut(first: int) -> None:
    for seed in range(first, first + 10):
        assert simulate(seed, steps=40, witness=WitnessKind.LEASE).excused == 0


@pytest.mark.slow
def test_with_a_pinged_witness_invariants_hold_and_clusters_heal() -> None:
    for seed in range(50_000, 50_010):
        simulate(seed, steps=40, witness=WitnessKind.PING)


def _grants_everybody(lease: Lease, stand: Stand) -> Decision:
    return Decision(lease=Lease(holder=stand.node, epoch=stand.epoch), granted=stand.wants)


def _finds() -> bool:
    for seed in range(40_100, 40_100 + SEEDS_MAX):
        try:
            outcome = simulate(seed, steps=40, witness=WitnessKind.LEASE)
        except (ViolationError, InvariantError):
            return True
        if outcome.excused:
            return True
    return False


@pytest.mark.slow
def test_simulation_finds_a_witness_that_grants_to_everybody() -> None:
    with patch.object(simulated, "decide", _grants_everybody):
        assert _finds()


@pytest.mark.slow
def test_simulation_finds_a_node_that_does_not_wait_for_the_witness() -> None:
    with patch.object(witness, "permit", lambda _state: NO_WITNESS):
        assert _finds()


@pytest.mark.slow
def test_exploration_finds_a_node_that_does_not_wait_for_the_witness() -> None:
    variant = Variant(witness=WitnessKind.LEASE)
    with patch.object(witness, "permit", lambda _state: NO_WITNESS), pytest.raises(FoundError, match="VIOLATION"):
        explore(faults=1, seconds_max=60, states_max=40_000, variant=variant)
