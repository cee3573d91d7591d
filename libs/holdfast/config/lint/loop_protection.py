"""Loop protection switched off, or so wide that it protects from nothing."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject

SHORT_S = 600
"""Within less than this, maxloop restarts of an application with a start of minutes are never counted together."""


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn when an application that cannot run would be restarted without end, or not at all."""
    service = subject.config.service
    if not subject.config.processes and not subject.config.tcp_checks:
        return
    if service.loop_interval_s == 0 or service.loop_interval_s < SHORT_S:
        yield Doubt(
            at=service.at,
            what=f"automatic actions are counted over {service.loop_interval_s}s",
            risk="an application that cannot run is restarted without end instead of leaving its role to the other "
            "node",
            fix="loop_interval of hours (24h unless given)",
        )
    elif service.maxloop == 0:
        yield Doubt(
            at=service.at,
            what="maxloop is 0",
            risk="the first failure that a checker finds stops the module, without one attempt to restart it",
            fix="maxloop of at least 1 (3 unless given)",
        )
