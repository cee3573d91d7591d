"""One list out of the journals of both nodes: what, where, caused by what, after how long.

Entries are in hybrid logical time, so a cause stands before its effect also when the nodes' wall clocks differ.
A change of state has no such time of its own: it stands right behind the event that led to it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from holdfast.events import codec, membership, module, replication
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import HybridTime
from holdfast.journal.port import Journal, Record, StateNoted

ENTRIES_MAX = 100_000
"""Entries of one journal that are read at once; a longer history is asked for in parts (`since`)."""
STATE_CHANGED = "state.changed"
CAUSE_CHARS_MAX = 60
ROUTINE = frozenset({"timer.fired", "peer.suspected"})
"""Events that tell an operator nothing by themselves."""
_NUMBERS = re.compile(r"[0-9]+(?:/[0-9]+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event. cause: id of the event that led to it, caused_by: that in words; after_ms: how long after that
    (by the clock of the one node that both happened on, None otherwise). mono_ns: the node's monotonic clock.
    fields: the payload as plain JSON values."""

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
    caused_by: str = ""
    after_ms: float | None = None
    trace: str = ""
    fields: dict[str, object] = field(default_factory=dict)


def entries(journal: Journal, *, after: int = 0, since_wall_ns: int = 0) -> list[Entry]:
    """Return one journal's entries from behind an event on; each change of state stands behind what led to it."""
    changes = {change.cause: change for change in journal.states(limit=ENTRIES_MAX)}
    found: list[Entry] = []
    for record in journal.read(after=after, since_wall_ns=since_wall_ns):
        if len(found) >= ENTRIES_MAX:
            break
        found.append(_entry(record))
        change = changes.get(record.envelope.id)
        if change is not None:
            found.append(_change_of_state(found[-1], change))
    return found


def merged(journals: Iterable[Sequence[Entry]]) -> list[Entry]:
    """Merge the entries of several nodes by hybrid time, each event once, with causes and the time since them."""
    # A journal is in the order in which events arrived; those of different services may have crossed on the way.
    in_order = sorted(chain.from_iterable(journals), key=lambda entry: (entry.hybrid, entry.node, entry.sequence))
    known: dict[str, Entry] = {}
    for entry in in_order:
        if entry.id not in known:
            known[entry.id] = _with_cause(entry, known.get(entry.cause))
    return list(known.values())


def notable(found: Iterable[Entry]) -> Iterator[Entry]:
    """Leave out routine, and facts that only repeat what their node said last, save for its numbers."""
    said: dict[tuple[str, str], str] = {}
    for entry in found:
        words = _NUMBERS.sub("", entry.what)
        is_repeated = said.get((entry.node, entry.name)) == words
        said[entry.node, entry.name] = words
        if entry.name not in ROUTINE and not is_repeated:
            yield entry


def render(found: Iterable[Entry]) -> Iterator[str]:
    """Return the timeline as lines of text. The time is the hybrid one (UTC), by which the entries are in order."""
    for entry in found:
        seconds, rest_ms = divmod(entry.hybrid.wall_ms, 1000)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest_ms:03d}"
        after = f" (+{entry.after_ms:.1f} ms)" if entry.after_ms is not None else ""
        why = f"  ← {entry.caused_by}" if entry.caused_by else ""
        yield f"{stamp}  {entry.node:<10} {entry.source:<16} {entry.what}{why}{after}"


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


def _change_of_state(led_to_it: Entry, change: StateNoted) -> Entry:
    return replace(
        led_to_it,
        id=f"{led_to_it.id}/{STATE_CHANGED}",
        source="statemachine",
        name=STATE_CHANGED,
        what=f"{change.role} {change.status}: {change.reason}",
        cause=led_to_it.id,
        fields={"role": change.role, "status": change.status, "epoch": change.epoch},
    )


def _with_cause(entry: Entry, cause: Entry | None) -> Entry:
    if cause is None:
        return entry
    after_ms = (entry.mono_ns - cause.mono_ns) / 1e6 if cause.node == entry.node else None
    return replace(entry, caused_by=cause.what[:CAUSE_CHARS_MAX], after_ms=after_ms)
