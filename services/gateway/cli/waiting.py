"""Waits for a state of a module: what waitstart, waitstop and waitstate have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

import typer

from services.gateway.cli.client import Json, call, path_of

MARGIN_S = 10.0
"""What the answer may take beyond the wait itself."""
TURN_S = 300.0
"""One question; a wait without an end is many of them."""
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", metavar="S", min=0, help="Give up after so many seconds; else never.")
]


def wait(module: str, until: str, query: Mapping[str, object], timeout_s: float | None) -> Json:
    """Ask until the state is reached or the time is over; returns the last answer."""
    end_at = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left_s = max(0.0, min(TURN_S, end_at - time.monotonic()))
        asked = {**query, "timeout_s": left_s}
        answer = call("GET", path_of("modules", module, "state", until), query=asked, timeout_s=left_s + MARGIN_S)
        if answer["reached"] or answer["settled"] or time.monotonic() >= end_at:
            return answer
