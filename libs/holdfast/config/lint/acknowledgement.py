"""Writes that are acknowledged before the secondary's disk has them."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import Acknowledgement


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of `async="second"`."""
    replication = subject.config.replication
    if replication is None or replication.acknowledgement is not Acknowledgement.SECOND:
        return
    yield Doubt(
        at=replication.at,
        what='async="second" acknowledges a write when it is in the secondary\'s memory',
        risk="when the primary is lost for good and the secondary loses its power before its disk has the write, an "
        "acknowledged write is gone",
        fix='async="none", unless the secondary has a battery-backed cache',
    )
