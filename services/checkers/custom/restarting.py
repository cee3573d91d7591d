"""Pure: how soon a custom checker that ended is started again."""

from __future__ import annotations

PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 30.0
"""A program that cannot work costs little, and is back soon after it was repaired."""
STABLE_S = 30.0
"""A run this long was no failed start."""
DOUBLINGS_MAX = 8


def pause_s(lived_s: float, short_runs: int) -> tuple[float, int]:
    """Return the pause before the next start, and how many runs in a row have been short."""
    if lived_s >= STABLE_S:
        return PAUSE_S_MIN, 0
    return min(PAUSE_S_MAX, PAUSE_S_MIN * 2.0 ** min(short_runs, DOUBLINGS_MAX)), short_runs + 1
