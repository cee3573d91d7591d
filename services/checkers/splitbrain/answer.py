"""What one attempt to ask a witness came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Heard:
    """reachable: the witness answered. granted: this node may act without the other one. why: in words, when not."""

    reachable: bool
    granted: bool = False
    why: str = ""
