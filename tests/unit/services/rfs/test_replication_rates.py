"""Bandwidths as averages over three seconds."""

from __future__ import annotations

from services.rfs.metrics import Rates

NS_PER_S = 1_000_000_000


def test_rates_are_averages_in_kilobytes_over_the_last_three_seconds() -> None:
    rates = Rates()
    assert rates.sample(0, {"rep_bandwidth": 0}) == {"rep_bandwidth": 0.0}
    assert rates.sample(NS_PER_S, {"rep_bandwidth": 6_000}) == {"rep_bandwidth": 6.0}
    assert rates.sample(2 * NS_PER_S, {"rep_bandwidth": 6_000}) == {"rep_bandwidth": 3.0}
    assert rates.sample(3 * NS_PER_S, {"rep_bandwidth": 6_000}) == {"rep_bandwidth": 2.0}
    assert rates.sample(4 * NS_PER_S, {"rep_bandwidth": 6_000}) == {"rep_bandwidth": 0.0}


def test_a_counter_that_began_anew_gives_no_negative_rate() -> None:
    rates = Rates()
    rates.sample(0, {"netin_bandwidth": 9_000})
    assert rates.sample(NS_PER_S, {"netin_bandwidth": 10}) == {"netin_bandwidth": 0.0}
