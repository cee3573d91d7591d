"""The resources of a module as readers see them: those of the decider and those that follow from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.core.overview import holding_labels
from holdfast.core.state import State
from holdfast.events.state import Copy

BY = "statemachine"
Named = Mapping[str, tuple[str, str]]
"""Resource to value and who assigned it."""


def resources_of(state: State) -> dict[str, tuple[str, str]]:
    """Return every resource with its value and who assigned it."""
    found = {name: (resource.value, resource.by) for name, resource in state.resources.items()}
    record, report = state.authority, state.replication
    copy = record.copy if state.is_replicated else Copy.UP_TO_DATE
    found["state.local"] = (str(state.role), BY)
    found["state.status"] = (str(state.status), BY)
    found["state.remote"] = (str(state.peer.said.role) if state.peer.is_heard and state.peer.said else "unknown", BY)
    found["heart.stopstartloop"] = (str(len(state.loop.taken_at_mono_ns)), BY)
    found["heart.maxloop"] = ("down" if state.stopped_by_maxloop else "up", BY)
    if state.is_replicated:
        found["rfs.uptodate"] = ("up" if copy is Copy.UP_TO_DATE else "down", BY)
        found["rfs.degraded"] = ("up" if state.announcement.degraded else "down", BY)
        if report is not None:
            found["rfs.connected"] = ("up" if report.connected else "down", BY)
            found |= {f"rfs.{name}": (f"{value:g}", "rfs") for name, value in report.metrics.items()}
    holding = holding_labels(state)
    labels = {rule.label for rule in state.settings.rules.rules if rule.is_in_force}
    found |= {f"rule.{label}": ("active" if label in holding else "inactive", BY) for label in labels | holding}
    if state.settings.addresses and state.addresses is not None:
        found["vip.held"] = ("up" if state.addresses.held else "down", "vip")
    return found


def differing(before: Named, after: Named) -> dict[str, tuple[str, str]]:
    """Return the resources whose value changed."""
    return {name: value for name, value in after.items() if before.get(name) != value}
