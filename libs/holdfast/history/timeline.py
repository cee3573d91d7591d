"""One list out of the journals of both nodes: what, where, caused by what, after how long.

Entries are in hybrid logical time, so a cause stands before its effect also when the nodes' wall clocks differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge

from holdfast.events import codec, membership, module, replication
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import HybridTime
from holdfast.history.replay import ReplayReport
from holdfast.journal.port import Journal, Record

ENTRIES_MAX = 100_000
"""Entries of one journal that are read at once; a longer history is asked for in parts (`since`)."""
STATE_CHANGED = "state.changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event. cause: id of the event that led to it; after_ms: how long after that (wall clock of one node only,
    None otherwise). mono_ns: the node's monotonic clock. fields: the payload as plain JSON values."""

    id: str
    node: str
    source: str
    name: str
    what: str
    hybrid: HybridTime
    wall_ns: int
    mono_ns: int
    sequence: int
    cause: str = ""
    after_ms: float | None = None
    trace: str = ""
    fields: dict[str, object] = field(default_factory=dict)


def entries(journal: Journal, *, since_wall_ns: int = 0, replayed: ReplayReport | None = None) -> list[Entry]:
    """Return one journal's entries; with a replay of it, each change of state stands behind what led to it."""
    changes = {change.sequence: change for change in replayed.transitions} if replayed is not None else {}
    found: list[Entry] = []
    for record in journal.read(since_wall_ns=since_wall_ns):
        if len(found) >= ENTRIES_MAX:
            break
        found.append(_entry(record))
        change = changes.get(record.sequence)
        if change is not None:
            words = f"{change.role} {change.status}: {change.reason}"
            fields: dict[str, object] = {"role": change.role, "status": change.status, "epoch": change.epoch}
            found.append(_follow_up(found[-1], STATE_CHANGED, words, fields))
    return found


def merged(journals: Iterable[Sequence[Entry]]) -> Iterator[Entry]:
    """Merge the entries of several nodes by hybrid time, with the time since the cause filled in."""
    known: dict[str, Entry] = {}
    for entry in merge(*journals, key=lambda entry: (entry.hybrid, entry.node, entry.sequence)):
        cause = known.get(entry.cause)
        known[entry.id] = entry
        if cause is not None and cause.node == entry.node:
            after_ms = (entry.mono_ns - cause.mono_ns) / 1e6
            yield _with_delay(entry, after_ms)
        else:
            yield entry


def render(found: Iterable[Entry]) -> Iterator[str]:
    """Return the timeline as lines of text, times relative to the first entry."""
    first_ms: int | None = None
    for entry in found:
        first_ms = entry.hybrid.wall_ms if first_ms is None else first_ms
        offset_s = (entry.hybrid.wall_ms - first_ms) / 1000
        after = f" (+{entry.after_ms:.1f} ms)" if entry.after_ms is not None else ""
        yield f"{offset_s:+11.3f} s  {entry.node:<12} {entry.source:<16} {entry.what}{after}"


def describe(payload: object) -> str:
    """Return an event in words."""
    match payload:
        case membership.PeerLost() as lost:
            return f"peer lost: {lost.reason} after {lost.silent_ms:.0f} ms" + (
                f", {lost.evidence}" if lost.evidence else ""
            )
        case membership.PeerFound():
            return "peer found"
        case membership.PeerReported() as said:
            its = said.announcement
            return f"peer says {its.role} {its.status}, epoch {its.epoch}, {its.copy}"
        case module.CommandRequested() as command:
            return (
                f"command {command.action} {command.argument}".rstrip()
                + f" by {command.who or command.identity or '?'}"
            )
        case module.ScriptFinished() as script:
            return f"script {script.script} ended with {script.exit_code} after {script.duration_ms:.0f} ms"
        case module.AddressesReported() as addresses:
            return f"addresses {'held' if addresses.held else 'not held'}: {', '.join(addresses.present) or 'none'}"
        case module.ResourceReported() as resource:
            return f"resource {resource.resource} is {resource.value}"
        case module.ServiceStarted() as started:
            return f"service {started.service} started (process {started.pid})"
        case module.ModuleOpened() as opened:
            return f"module opened, incarnation {opened.incarnation}"
        case replication.ReplicationReported() as report:
            return _describe_replication(report)
        case _:
            return BY_PAYLOAD[type(payload)].name


def _describe_replication(report: replication.ReplicationReported) -> str:
    words = [f"replication {report.mode}"]
    flags = {
        "writable": report.writable,
        "connected": report.connected,
        f"in step {report.in_step_session}": bool(report.in_step_session),
        f"proposes {report.proposed_session}": bool(report.proposed_session),
        f"broken {report.broken_session}": bool(report.broken_session),
        f"drained {report.drained_session}": bool(report.drained_session),
        "all applied": report.applied_all,
        f"resyncing {report.progress.bytes_done}/{report.progress.bytes_total} bytes": report.resyncing,
        f"failed: {report.failed}": bool(report.failed),
    }
    return ", ".join([*words, *(word for word, is_so in flags.items() if is_so)])


def _entry(record: Record) -> Entry:
    envelope = record.envelope
    return Entry(
        id=envelope.id,
        node=envelope.node,
        source=envelope.source,
        name=BY_PAYLOAD[type(envelope.payload)].name,
        what=describe(envelope.payload),
        hybrid=envelope.hybrid,
        wall_ns=envelope.at_wall_ns,
        mono_ns=envelope.at_mono_ns,
        sequence=record.sequence,
        cause=envelope.cause,
        trace=envelope.trace,
        fields=dict(codec.payload_to_jsonable(envelope.payload)),
    )


def _follow_up(entry: Entry, name: str, words: str, fields: dict[str, object]) -> Entry:
    return Entry(
        id=f"{entry.id}/{name}",
        node=entry.node,
        source="statemachine",
        name=name,
        what=words,
        hybrid=entry.hybrid,
        wall_ns=entry.wall_ns,
        mono_ns=entry.mono_ns,
        sequence=entry.sequence,
        cause=entry.id,
        trace=entry.trace,
        fields=fields,
    )


def _with_delay(entry: Entry, after_ms: float) -> Entry:
    return Entry(**{name: getattr(entry, name) for name in entry.__slots__ if name != "after_ms"}, after_ms=after_ms)
