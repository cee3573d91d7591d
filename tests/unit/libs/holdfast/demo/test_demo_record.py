"""How the client's record is judged."""

from __future__ import annotations

import pytest
from holdfast.demo.record import Attempt, Outcome, acks_of, decode, judge, longest_gap
from holdfast.errors import StorageError

MS = 1_000_000


def attempt(row: int, ended_ms: int, outcome: Outcome = Outcome.ACKED) -> Attempt:
    """A row written in one millisecond."""
    return Attempt(row=row, sent_ns=(ended_ms - 1) * MS, ended_ns=ended_ms * MS, outcome=outcome)


def test_record_is_read_as_it_was_written() -> None:
    attempts = (attempt(1, 10), attempt(2, 20, Outcome.UNANSWERED))
    assert decode(f"{each.encode()}\n" for each in attempts) == attempts


def test_line_that_was_being_written_is_left_out() -> None:
    lines = [f"{attempt(1, 10).encode()}\n", attempt(2, 20).encode()[:9]]
    assert decode(lines) == (attempt(1, 10),)


@pytest.mark.parametrize(
    "line", ["\n", "{}\n", '{"row": 1}\n', '{"row":1,"sent_ns":1,"ended_ns":2,"outcome":"maybe"}\n']
)
def test_rubbish_in_the_record_is_refused(line: str) -> None:
    with pytest.raises(StorageError, match="line 1"):
        decode([line])


def test_acknowledged_row_that_is_not_there_is_lost() -> None:
    verdict = judge([attempt(1, 10), attempt(2, 20)], [1])
    assert (verdict.acked, verdict.found, verdict.lost) == (2, 1, (2,))
    assert not verdict.is_clean


@pytest.mark.parametrize("found", [[1], [1, 2]])
def test_unanswered_row_may_be_there_or_not(found: list[int]) -> None:
    assert judge([attempt(1, 10), attempt(2, 20, Outcome.UNANSWERED)], found).is_clean


def test_row_that_nobody_wrote_is_not_clean() -> None:
    verdict = judge([attempt(1, 10), attempt(3, 20, Outcome.REFUSED)], [1, 3, 9])
    assert verdict.unasked == (3, 9)
    assert not verdict.is_clean


def test_longest_gap_is_looked_for_only_where_asked() -> None:
    acks = [0, 500 * MS, 510 * MS, 700 * MS, 710 * MS, 2000 * MS]
    gap = longest_gap(acks, since_ns=505 * MS, until_ns=705 * MS)
    assert gap is not None
    assert (gap.from_ns, gap.to_ns, gap.length_ms) == (510 * MS, 700 * MS, 190.0)


def test_gap_that_contains_the_whole_time_is_seen() -> None:
    gap = longest_gap([0, 1000 * MS], since_ns=400 * MS, until_ns=500 * MS)
    assert gap is not None
    assert gap.length_ms == 1000.0


def test_no_gap_without_two_acknowledgements() -> None:
    assert longest_gap([5], since_ns=0, until_ns=10) is None


def test_only_acknowledgements_end_a_gap() -> None:
    assert acks_of([attempt(2, 20), attempt(3, 30, Outcome.UNANSWERED), attempt(1, 10)]) == (10 * MS, 20 * MS)
