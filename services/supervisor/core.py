"""When to start a service again, when to kill it, when to give the node up. Pure: times are seconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

RESTART_DELAY_S_MIN = 0.05
RESTART_DELAY_S_MAX = 5.0
READY_DELAY_S_MAX = 1.0
READY_DELAYS_S_MAX = {"heartbeat": 0.05}
"""The longest delay for a service whose runs became ready before they ended: it works, and is needed.

A heartbeat that is away for longer than this looks to the peer like a dead node."""
STABLE_S = 5.0
"""A run at least this long was no failed start: the next restart is immediate again."""
LEASE_S = 10.0
LEASES_S = {"heartbeat": 2.0}
"""Seconds without a renewed lease after which a service is taken to hang; it renews once a second."""
START_LEASE_S = 30.0
"""What a service has from its start to its first renewal; it imports and connects in that time."""
STALL_S = 2.0
"""The loop turns at least once a second; a longer gap means that the supervisor itself was stopped or starved."""
CRITICAL = "statemachine"
"""The service without which a node may not hold a role."""
FENCE_AFTER_FAILED_STARTS = 8
FENCE_AFTER_UNREADY_S = 30.0
"""How long a node goes on without a working state machine before it gives its roles up."""


@dataclass(frozen=True, kw_only=True)
class History:
    """What is remembered of a service over its runs. unready_since_s: since when it is not ready, None when it is."""

    starts: int = 0
    short_runs: int = 0
    failed_starts: int = 0
    unready_since_s: float | None = None


def started(history: History, *, now_s: float) -> History:
    """Fold the beginning of a run."""
    since = now_s if history.unready_since_s is None else history.unready_since_s
    return replace(history, starts=history.starts + 1, unready_since_s=since)


def became_ready(history: History) -> History:
    """Fold the service's word that its subscriptions stand."""
    return replace(history, failed_starts=0, unready_since_s=None)


def ended(history: History, *, ran_s: float, was_ready: bool, now_s: float) -> History:
    """Fold the end of a run of `ran_s` seconds."""
    return replace(
        history,
        short_runs=0 if was_ready and ran_s >= STABLE_S else history.short_runs + 1,
        failed_starts=0 if was_ready else history.failed_starts + 1,
        unready_since_s=now_s if history.unready_since_s is None else history.unready_since_s,
    )


def restart_delay_s(name: str, history: History) -> float:
    """Return how long to wait before the next start: none after a long run or a first death, then doubling."""
    if history.short_runs <= 1:
        return 0.0
    kind = name.partition("@")[0]
    longest_s = RESTART_DELAY_S_MAX if history.failed_starts else READY_DELAYS_S_MAX.get(kind, READY_DELAY_S_MAX)
    return min(longest_s, RESTART_DELAY_S_MIN * 2.0 ** min(history.short_runs - 2, 16))


def must_fence(name: str, history: History, *, now_s: float) -> bool:
    """Say whether the node has to give its roles up because this service cannot be kept alive."""
    if name != CRITICAL:
        return False
    if history.failed_starts >= FENCE_AFTER_FAILED_STARTS:
        return True
    return history.unready_since_s is not None and now_s - history.unready_since_s > FENCE_AFTER_UNREADY_S


def lease_ends_s(name: str, *, started_s: float, renewed_s: float | None) -> float:
    """Return when a running service is to be killed unless it renews its lease."""
    if renewed_s is None:
        return started_s + START_LEASE_S
    return renewed_s + LEASES_S.get(name.partition("@")[0], LEASE_S)
