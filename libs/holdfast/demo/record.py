"""What a client saw, kept line by line, and how it is judged. Pure.

One line for each row that the client tried to write: a JSON object with `row`, `sent_ns`, `ended_ns` (CLOCK_MONOTONIC)
and `outcome`. A row whose outcome is not `acked` may or may not be there afterwards: nothing was promised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from holdfast.errors import StorageError

NS_PER_MS = 1_000_000


class Outcome(StrEnum):
    """How an attempt to write a row ended."""

    ACKED = "acked"
    UNANSWERED = "unanswered"
    """Sent, and then the connection broke or nothing came in time: it may have been written."""
    REFUSED = "refused"
    """The server said no: it was not written."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One row that the client tried to write."""

    row: int
    sent_ns: int
    ended_ns: int
    outcome: Outcome

    def encode(self) -> str:
        """As one line, without its end."""
        return json.dumps(
            {"row": self.row, "sent_ns": self.sent_ns, "ended_ns": self.ended_ns, "outcome": self.outcome.value}
        )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time without acknowledgement: from the last one before to the first one after."""

    from_ns: int
    to_ns: int

    @property
    def length_ms(self) -> float:
        """How long it was."""
        return (self.to_ns - self.from_ns) / NS_PER_MS


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was promised against what is there."""

    acked: int
    found: int
    lost: tuple[int, ...]
    """Rows that were acknowledged and are not there."""
    unasked: tuple[int, ...]
    """Rows that are there and that nobody wrote."""

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept, and nothing is there that should not be."""
        return not self.lost and not self.unasked


def decode(lines: Iterable[str]) -> tuple[Attempt, ...]:
    """Read a record. A last line without its end is left out: the writer was being killed. Raises StorageError."""
    attempts: list[Attempt] = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            fields = json.loads(line)
            attempts.append(Attempt(**{**fields, "outcome": Outcome(fields["outcome"])}))
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"line {number} of the client's record makes no sense: {error}") from error
    return tuple(attempts)


def acks_of(attempts: Iterable[Attempt]) -> tuple[int, ...]:
    """The instants of the acknowledgements, in order."""
    return tuple(sorted(attempt.ended_ns for attempt in attempts if attempt.outcome is Outcome.ACKED))


def longest_gap(acks: Sequence[int], *, since_ns: int, until_ns: int) -> Gap | None:
    """The longest time without acknowledgement that ended after `since_ns` and began before `until_ns`.

    None when there are not two acknowledgements to lie between.
    """
    gaps = [
        Gap(from_ns=before, to_ns=after) for before, after in pairwise(acks) if after > since_ns and before < until_ns
    ]
    return max(gaps, key=lambda gap: gap.to_ns - gap.from_ns, default=None)


def judge(attempts: Iterable[Attempt], found: Iterable[int]) -> Judgement:
    """Compare what was acknowledged with what is found afterwards."""
    tried = {attempt.row: attempt.outcome for attempt in attempts}
    rows = set(found)
    acked = {row for row, outcome in tried.items() if outcome is Outcome.ACKED}
    allowed = {row for row, outcome in tried.items() if outcome is not Outcome.REFUSED}
    return Judgement(
        acked=len(acked),
        found=len(rows),
        lost=tuple(sorted(acked - rows)),
        unasked=tuple(sorted(rows - allowed)),
    )
