"""Units of systemd that are watched and do not exist on this node."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of each `proc` with service="yes" whose unit the running systemd does not know."""
    for process in subject.config.processes:
        if process.unit and process.name in subject.unknown_units and process.at_least > 0:
            yield Doubt(
                at=process.at,
                what=f"systemd on this node knows no unit '{process.name}'",
                risk=f"resource proc.{process.name} is down as soon as it is watched, and its action follows each time "
                "until the module stops",
                fix="the name as `systemctl list-unit-files` has it, or install the application first",
            )
