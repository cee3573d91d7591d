"""The resources of a module as readers see them: those of the decider and those that follow from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.core import syncmark
from holdfast.core.overview import holding_labels
from holdfast.core.state import State
from holdfast.events.replication import ResyncProgress
from holdfast.events.state import Copy

BY = "statemachine"
Named = Mapping[str, tuple[str, str]]
"""Resource to value and who assigned it."""


def resources_of(state: State, *, loop_since_s: int = 0) -> dict[str, tuple[str, str]]:
    """Return every resource with its value and who assigned it.

    loop_since_s: when the oldest automatic action that loop protection still counts was taken, Unix time; 0 for none.
    """
    found = {name: (resource.value, resource.by) for name, resource in state.resources.items()}
    record, report = state.authority, state.replication
    copy = record.copy if state.is_replicated else Copy.UP_TO_DATE
    said = state.peer.said if state.peer.is_heard else None
    found["state.local"] = (f"{state.role} {state.status}", BY)
    found["state.status"] = (str(state.status), BY)
    found["state.remote"] = (f"{said.role} {said.status}" if said is not None else "UNKNOWN", BY)
    found["heart.stopstartloop"] = (str(loop_since_s), BY)
    found["heart.loopcount"] = (str(len(state.loop.taken_at_mono_ns)), BY)
    found["heart.maxloop"] = ("true" if state.stopped_by_maxloop else "false", BY)
    found |= _switches(state)
    if state.is_replicated:
        found["rfs.uptodate"] = ("up" if copy is Copy.UP_TO_DATE else "down", BY)
        found["rfs.degraded"] = ("up" if state.announcement.degraded else "down", BY)
        if state.settings.sync_delta_ms:
            found["rfs.synced"] = ("up" if syncmark.is_recent(state) else "down", BY)
        if report is not None:
            found["rfs.connected"] = ("up" if report.connected else "down", BY)
            found |= {f"rfs.{name}": (f"{value:g}", "rfs") for name, value in report.metrics.items()}
            found |= _resync(report.progress)
    holding = holding_labels(state)
    labels = {rule.label for rule in state.settings.rules.rules if rule.is_in_force}
    found |= {f"rule.{label}": ("active" if label in holding else "inactive", BY) for label in labels | holding}
    if state.settings.addresses and state.addresses is not None:
        found["vip.held"] = ("up" if state.addresses.held else "down", "vip")
    return found


def _switches(state: State) -> dict[str, tuple[str, str]]:
    """What an administrator has switched."""
    switches = state.switches
    named = {"failover": switches.failover, "checker": switches.checker, "errd": switches.errd}
    return {f"usersetting.{name}": ("on" if is_on else "off", BY) for name, is_on in named.items()}


def _resync(progress: ResyncProgress) -> dict[str, tuple[str, str]]:
    """The present or last resynchronisation: files looked at, files and KB copied, and what part of all that is."""
    if not progress.kind:
        return {}
    copied = _with_percent(progress.files_done, progress.files_total)
    return {
        "rfs.rei_scan_count_metric": (str(progress.files_total), "rfs"),
        "rfs.rei_copy_count_metric": (copied, "rfs"),
        "rfs.rei_copy_size_metric": (_with_percent(progress.bytes_done, progress.bytes_total, unit=1000), "rfs"),
    }


def _with_percent(done: int, total: int, unit: int = 1) -> str:
    percent = 100 * done // total if total else 100
    return f"{done // unit} ({percent}%)"


def differing(before: Named, after: Named) -> dict[str, tuple[str, str]]:
    """Return the resources whose value changed."""
    return {name: value for name, value in after.items() if before.get(name) != value}
