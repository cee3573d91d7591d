"""Data that the operator has agreed to lose."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of `syncdelta`."""
    config = subject.config
    replication = config.replication
    if replication is None or not replication.sync_delta_s:
        return
    minutes = replication.sync_delta_s / 60
    has_lease = config.splitbrain is not None and config.splitbrain.lease is not None
    cut = "" if has_lease else ", and when only the networks between the nodes are cut both may run the application"
    yield Doubt(
        at=replication.at,
        what=f"syncdelta lets a node act alone although the other one may have newer data of {minutes:g} minutes",
        risk=f"what the other node has promised in that time is missing from then on (kept in its quarantine){cut}",
        fix="leave syncdelta out and use prim when the other node is known to be dead for good"
        + ("" if has_lease else ', or add a witness that gives leases: <splitbrain lease="HOST:4805"/>'),
    )
