"""Pure: which events wait, and when the mail that tells of them is due. Times are seconds of one clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.notification.event import Event

WAITING_MAX = 500
"""Events in one mail; a module that changes every second fills this in minutes, and nobody reads more."""
AGAIN_S_MIN = 30.0
AGAIN_S_MAX = 1800.0
"""Between attempts at a mail server that does not take the mail."""


@dataclass(frozen=True, kw_only=True)
class Digest:
    """waiting: oldest first. dropped: events that there was no room for. due_at_s: None when nothing waits.
    failures: attempts in a row that did not succeed."""

    waiting: tuple[Event, ...] = ()
    dropped: int = 0
    due_at_s: float | None = None
    failures: int = 0


def added(digest: Digest, event: Event, *, now_s: float, delay_s: float) -> Digest:
    """One more event; the first of a mail sets when it is due. The oldest go when there are too many."""
    waiting = (*digest.waiting, event)
    too_many = max(0, len(waiting) - WAITING_MAX)
    due_at_s = now_s + delay_s if digest.due_at_s is None else digest.due_at_s
    return replace(digest, waiting=waiting[too_many:], dropped=digest.dropped + too_many, due_at_s=due_at_s)


def is_due(digest: Digest, now_s: float) -> bool:
    return digest.due_at_s is not None and now_s >= digest.due_at_s


def sent(digest: Digest, taken: Digest, *, now_s: float, delay_s: float) -> Digest:
    """The mail with what waited in `taken` is out; what came meanwhile waits for the next one."""
    told = set(taken.waiting)
    left = tuple(event for event in digest.waiting if event not in told)
    dropped = digest.dropped - taken.dropped
    return Digest(waiting=left, dropped=dropped, due_at_s=now_s + delay_s if left else None)


def failed(digest: Digest, *, now_s: float) -> Digest:
    """The mail was not taken; it is tried again, ever later, with everything that waits by then."""
    again_s = min(AGAIN_S_MAX, AGAIN_S_MIN * 2.0 ** min(digest.failures, 16))
    return replace(digest, due_at_s=now_s + again_s, failures=digest.failures + 1)
