"""Every check by name, and running them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from holdfast.config.lint import (
    acknowledgement,
    blocked_checkers,
    heartbeat_networks,
    idle_scripts,
    loop_protection,
    lost_data,
    other_modules,
    runtime_files,
    timeouts,
    unknown_units,
    witness,
)
from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.problem import PROBLEMS_MAX, Problem

CHECKS: Mapping[str, Callable[[Subject], Iterable[Doubt]]] = MappingProxyType(
    {
        "heartbeat-networks": heartbeat_networks.doubts,
        "witness": witness.doubts,
        "runtime-files": runtime_files.doubts,
        "timeouts": timeouts.doubts,
        "blocked-checkers": blocked_checkers.doubts,
        "other-modules": other_modules.doubts,
        "idle-scripts": idle_scripts.doubts,
        "loop-protection": loop_protection.doubts,
        "acknowledgement": acknowledgement.doubts,
        "unknown-units": unknown_units.doubts,
        "lost-data": lost_data.doubts,
    }
)
"""The name stands in brackets in each warning."""


def lint(subject: Subject) -> tuple[Problem, ...]:
    """Every doubt about a valid configuration, by place in its file; at most `PROBLEMS_MAX`."""
    source = subject.config.source
    found = [doubt.problem(source, name) for name, check in CHECKS.items() for doubt in check(subject)]
    return tuple(sorted(found, key=lambda problem: (problem.at.line, problem.at.column)))[:PROBLEMS_MAX]
