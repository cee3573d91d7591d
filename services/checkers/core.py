"""Pure: from single looks at a thing to a resource that is init, up or down.

A resource begins as init. While it settles (a started application may need a moment until it can be seen) failures
leave it init; a success makes it up at once. Later it is down as soon as a look proves it, or after as many failures in
a row as the policy asks for. From down it comes back with a success, or when nothing failed for as long as the policy
asks for. Time comes in as milliseconds of any clock that does not go back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, auto


class Value(StrEnum):
    """What a checker says of its resource."""

    INIT = "init"
    UP = "up"
    DOWN = "down"


class Look(StrEnum):
    """Outcome of a single look."""

    PASSED = auto()
    FAILED = auto()
    """It may be a passing trouble: counts as one failure."""
    PROVED_DOWN = auto()
    """No doubt is possible: the process has ended, or there was no answer during the whole time allowed."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """failures: in a row, until down. settle_ms: from the first look on, in which failures leave the resource init.

    recover_ms: how long a resource that is down must do well until it is up.
    """

    failures: int = 1
    settle_ms: int = 0
    recover_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Health:
    """What is known of one resource. first_at_ms: time of the first look, None before it.

    well_since_ms: of a resource that is down, since when it does well.
    """

    value: Value = Value.INIT
    failures: int = 0
    first_at_ms: int | None = None
    well_since_ms: int | None = None


def judge(health: Health, look: Look, at_ms: int, policy: Policy) -> Health:
    """Return the health after one more look."""
    first_at_ms = at_ms if health.first_at_ms is None else health.first_at_ms
    if look is Look.PASSED:
        well_since_ms = at_ms if health.well_since_ms is None else health.well_since_ms
        if health.value is Value.DOWN and at_ms - well_since_ms < policy.recover_ms:
            return replace(health, well_since_ms=well_since_ms)
        return Health(value=Value.UP, first_at_ms=first_at_ms)
    failures = health.failures + 1
    seen = replace(health, failures=failures, first_at_ms=first_at_ms, well_since_ms=None)
    if health.value is Value.INIT and at_ms - first_at_ms < policy.settle_ms:
        return seen
    if look is Look.PROVED_DOWN or failures >= policy.failures:
        return replace(seen, value=Value.DOWN)
    return seen


def is_doubtful(health: Health) -> bool:
    """True while another look soon would settle the matter: failures were seen, but the resource is not down yet."""
    return health.failures > 0 and health.value is not Value.DOWN


def is_recovering(health: Health) -> bool:
    """True while a resource that is down does well, and only time is missing until it is up."""
    return health.value is Value.DOWN and health.well_since_ms is not None
