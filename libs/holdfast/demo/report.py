"""The table at the end of the demonstration, and its last line. Pure, but for rich's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table

from holdfast.demo.phases import PHASES, Split
from holdfast.demo.record import Judgement

EXPLAINED = "explained by the trace"


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that the client may have noticed; `outage_ms` is its longest time without an answer."""

    name: str
    outage_ms: float
    split: Split


@dataclass(frozen=True, kw_only=True)
class Resync:
    """What was copied to bring a replica up to date."""

    name: str
    kind: str
    files: int
    bytes: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison of the replicas found; `expected` paths are those that were damaged on purpose."""

    name: str
    files: int
    bytes: int
    differences: tuple[str, ...]
    expected: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether it found what is there to be found, and nothing else."""
        return self.differences == self.expected

    @property
    def is_equal(self) -> bool:
        """Whether it found nothing."""
        return not self.differences


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the demonstration measured."""

    events: tuple[Event, ...]
    judgement: Judgement
    resyncs: tuple[Resync, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing was lost, the replicas are equal, and the damage was found."""
        return self.judgement.is_clean and bool(self.comparisons) and all(c.is_right for c in self.comparisons)

    def last_line(self, failover: Event, difference: Resync) -> str:
        """One line for programs: about the unplanned failover and the resync that followed it.

        `replicas` is about the comparisons before the damage and after its repair.
        """
        undamaged = [comparison for comparison in self.comparisons if not comparison.expected]
        equal = bool(undamaged) and all(comparison.is_equal for comparison in undamaged)
        return (
            f"demo: {'ok' if self.is_ok else 'failed'} outage_ms={failover.outage_ms:.0f}"
            f" acked={self.judgement.acked} lost={len(self.judgement.lost)}"
            f" resync_bytes={difference.bytes} replicas={'equal' if equal else 'differ'}"
        )


def tables(report: Report) -> Group:
    """The report for people."""
    return Group(
        _outages(report.events),
        _rows(report.judgement),
        _resyncs(report.resyncs),
        _comparisons(report.comparisons),
    )


def _outages(events: Sequence[Event]) -> Table:
    # Headings may break between words, but not within them; so the table fits on 80 columns.
    table = Table(title="Outage seen by the client, ms", title_justify="left", box=None, collapse_padding=True)
    table.add_column("event", no_wrap=True)
    for name in ("in all", *PHASES, EXPLAINED):
        table.add_column(name, justify="right", min_width=max(len(word) for word in name.split()))
    for event in events:
        lengths = (f"{length:.0f}" if length is not None else "–" for length in event.split.lengths_ms)
        table.add_row(event.name, f"{event.outage_ms:.0f}", *lengths, f"{event.split.explained:.0%}")
    return table


def _rows(judgement: Judgement) -> Table:
    table = Table(title="Rows", title_justify="left", box=None)
    for name in ("acknowledged", "found", "lost", "never written"):
        table.add_column(name, justify="right")
    counts = (judgement.acked, judgement.found, len(judgement.lost), len(judgement.unasked))
    table.add_row(*(str(count) for count in counts))
    return table


def _resyncs(resyncs: Sequence[Resync]) -> Table:
    table = Table(title="Resynchronisation", title_justify="left", box=None)
    table.add_column("replica")
    table.add_column("by")
    for name in ("files", "bytes", "seconds"):
        table.add_column(name, justify="right")
    for resync in resyncs:
        table.add_row(resync.name, resync.kind, str(resync.files), str(resync.bytes), f"{resync.seconds:.1f}")
    return table


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    table = Table(title="Replicas compared", title_justify="left", box=None)
    table.add_column("when")
    for name in ("files", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("differences")
    for comparison in comparisons:
        found = ", ".join(comparison.differences) or "none"
        verdict = "" if comparison.is_right else " (not as expected)"
        table.add_row(comparison.name, str(comparison.files), str(comparison.bytes), f"{found}{verdict}")
    return table
