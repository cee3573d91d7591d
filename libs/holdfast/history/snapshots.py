"""Saved states: written with a version, read in the present shape, and made again from the journal when they cannot be.

A snapshot only saves time: everything in it follows from the configuration and the record it began with, and from the
events since. So one that another program wrote in a shape that this one cannot read is no reason to stop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from holdfast.core.authority import AuthorityRecord
from holdfast.core.state import State
from holdfast.errors import ConfigError, PeerError, StorageError
from holdfast.events.module import ConfigurationApplied
from holdfast.events.upcast import Body, Step, upcast
from holdfast.history.decider import dump_state, first_state, load_state, step
from holdfast.ids import ModuleId, NodeId
from holdfast.journal.port import Journal, Snapshot, SnapshotKind

VERSION = 1
"""Of the shape of a saved state. Fields that are added with a default need no new one; anything else does."""
STEPS: Mapping[tuple[str, int], Step] = {}
"""("state", old version) → the step to the next, as for events (`holdfast.events.upcast`)."""
NAME = "state"
_RECORD = TypeAdapter(AuthorityRecord)


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """The state after the last event. trouble: in words, why no snapshot could be used and it was made again from the
    events; empty when one could."""

    state: State
    trouble: str = ""


def dump_snapshot(state: State) -> str:
    """Return a state as it is saved."""
    return json.dumps({"version": VERSION, **json.loads(dump_state(state))}, separators=(",", ":"))


def load_snapshot(text: str) -> State:
    """Return the state in a snapshot of this or an older version; raise StorageError for any other text."""
    body = _body(text)
    version = body.pop("version", 1)
    if not isinstance(version, int) or version < 1:
        raise StorageError(f"snapshot cannot be read: version {version!r}")
    if version > VERSION:
        raise StorageError(f"snapshot of version {version} is newer than this program ({VERSION})")
    try:
        body = upcast(NAME, version, body, wanted=VERSION, steps=STEPS)
    except (PeerError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"snapshot of version {version} cannot be read: {error}") from error
    return load_state(json.dumps(body))


def restored(journal: Journal, *, module: ModuleId, node: NodeId) -> Restored | None:
    """Fold the newest usable snapshot and all events after it; None when the journal is empty.

    Without any since the module was opened it is folded from the configuration that was applied then. Raises
    StorageError when not even that can be done, JournalBrokenError for an event that cannot be read.
    """
    saved = list(journal.snapshots())
    if not saved:
        return None
    opened = max((at for at, each in enumerate(saved) if each.kind is SnapshotKind.OPENED), default=0)
    trouble = ""
    for snapshot in reversed(saved[opened:]):
        try:
            state = load_snapshot(snapshot.state)
        except StorageError as error:
            trouble = trouble or str(error)
            continue
        return Restored(state=_folded(journal, snapshot.sequence, state), trouble=trouble)
    first = saved[opened]
    try:
        state = beginning(journal, first, module=module, node=node)
    except (StorageError, ConfigError) as error:
        raise StorageError(f"{trouble}; it cannot be made again from the journal: {error}") from error
    return Restored(state=_folded(journal, first.sequence, state), trouble=trouble)


def beginning(journal: Journal, opened: Snapshot, *, module: ModuleId, node: NodeId) -> State:
    """Return the state in which a module was opened, from the configuration it was then given; raise StorageError or
    ConfigError when that cannot be done.

    Of the snapshot itself only the authority record is used, which has a shape of its own that hardly ever changes.
    """
    if opened.kind is not SnapshotKind.OPENED:
        raise StorageError("the module's opening is no longer in the journal")
    try:
        record = _RECORD.validate_python(_body(opened.state).get("authority"))
    except ValidationError as error:
        raise StorageError(
            f"the authority record in the snapshot cannot be read: {error.error_count()} problems"
        ) from (error)
    for event in journal.read(after=opened.sequence):
        if isinstance(event.envelope.payload, ConfigurationApplied):
            return first_state(event.envelope.payload, record, module=module, node=node)
    raise StorageError("no configuration was applied since the module was opened")


def _folded(journal: Journal, after: int, state: State) -> State:
    for event in journal.read(after=after):
        state = step(state, event.envelope).state
    return state


def _body(text: str) -> Body:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise StorageError(f"snapshot cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise StorageError("snapshot cannot be read: it is not a JSON object")
    return body
