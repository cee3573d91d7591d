"""Which pulse and timeout hold, from what a file says and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.config.reader import Section
from holdfast.config.tags.heart import PRESETS, PULSES_PER_TIMEOUT, PULSES_PER_TIMEOUT_MIN


def pulse_and_timeout(chain: Sequence[Section]) -> tuple[int, int]:
    """Pulse and timeout in milliseconds of a `heart`, or of a `heart` and one of its heartbeats.

    The innermost tag that gives a value wins. A value that no tag gives is the preset's, unless the other
    one is explicit and the two would contradict each other: then it follows from it (ten to one). So a file
    that says only `pulse="700"` gets a timeout of 7 s, rather than an error.
    """
    preset = PRESETS[chain[0].optional_text("preset") or "default"]
    pulse_ms, timeout_ms = _given(chain, "pulse"), _given(chain, "timeout")
    if pulse_ms is None and timeout_ms is None:
        return preset.pulse_ms, preset.timeout_ms
    if timeout_ms is None:
        assert pulse_ms is not None
        fits = preset.timeout_ms >= PULSES_PER_TIMEOUT_MIN * pulse_ms
        return pulse_ms, preset.timeout_ms if fits else PULSES_PER_TIMEOUT * pulse_ms
    if pulse_ms is None:
        fits = timeout_ms >= PULSES_PER_TIMEOUT_MIN * preset.pulse_ms
        return preset.pulse_ms if fits else max(1, timeout_ms // PULSES_PER_TIMEOUT), timeout_ms
    return pulse_ms, timeout_ms


def _given(chain: Sequence[Section], name: str) -> int | None:
    return next((section.milliseconds(name) for section in reversed(chain) if section.has(name)), None)
