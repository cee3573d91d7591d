"""Pulse and timeout from what a file says and what it leaves out."""

from __future__ import annotations

import pytest
from holdfast.config.parse import parse_module
from holdfast.errors import ConfigError


def timing(heart: str, beat: str = "") -> tuple[int, int]:
    text = f'<safe><service mode="mirror"><heart {heart}><heartbeat name="a" {beat}/></heart></service></safe>'
    flow = parse_module(text.encode(), "userconfig.xml", {}).heart.flow
    return flow.pulse_ms, flow.timeout_ms


@pytest.mark.parametrize(
    ("heart", "beat", "expected"),
    [
        ("", "", (100, 1_000)),
        ('preset="fast"', "", (20, 150)),
        ('preset="virtual"', "", (250, 5_000)),
        ('pulse="700" timeout="30000"', "", (700, 30_000)),
        ('pulse="700"', "", (700, 7_000)),
        ('pulse="200"', "", (200, 1_000)),
        ('timeout="200"', "", (20, 200)),
        ('timeout="30s"', "", (100, 30_000)),
        ('preset="fast"', 'timeout="1s"', (20, 1_000)),
        ('pulse="50" timeout="500"', 'pulse="100"', (100, 500)),
        ('pulse="50" timeout="150"', "", (50, 150)),
    ],
)
def test_pulse_and_timeout_fit_together(heart: str, beat: str, expected: tuple[int, int]) -> None:
    assert timing(heart, beat) == expected


@pytest.mark.parametrize(
    ("heart", "beat"), [('pulse="50" timeout="149"', ""), ('pulse="50" timeout="500"', 'pulse="200"')]
)
def test_timeout_below_three_pulses_is_refused(heart: str, beat: str) -> None:
    with pytest.raises(ConfigError, match="less than 3 pulses"):
        timing(heart, beat)
