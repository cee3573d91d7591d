"""Bandwidths of the rfs resources: averages over a few seconds, in KB/s as the model product shows them."""

from __future__ import annotations

from collections import deque

SPAN_S = 3
"""safekit.md gives its bandwidths as averages over 3 s."""


class Rates:
    """Turns growing byte counters into rates. `sample` is called about once a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, dict[str, int]]] = deque(maxlen=SPAN_S + 1)

    def sample(self, mono_ns: int, counters: dict[str, int]) -> dict[str, float]:
        """Return KB/s for each counter over the last SPAN_S samples; a counter that shrank began anew."""
        self._samples.append((mono_ns, counters))
        first_ns, first = self._samples[0]
        span_s = (mono_ns - first_ns) / 1e9
        if span_s <= 0:
            return dict.fromkeys(counters, 0.0)
        return {name: round(max(0, value - first.get(name, 0)) / 1000 / span_s, 1) for name, value in counters.items()}
