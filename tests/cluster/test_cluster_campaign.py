"""A short campaign of crashes at random moments; `python -m tests.cluster.campaign` runs a long one."""

from __future__ import annotations

import pytest

from tests.cluster import campaign

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


def test_crashes_at_random_moments_lose_nothing() -> None:
    """Every acknowledged operation is on the survivor, and both copies are equal after the return."""
    assert campaign.run(rounds=3, seed=11, name="crashes") > 0
