"""Reads journals, and the lines that scripts wrote, for people. Blocking: call it from a thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import NotFoundError
from holdfast.history.spans import FILE_NAME as SPANS
from holdfast.history.spans import SpanStore
from holdfast.history.timeline import Entry, entries
from holdfast.journal.port import CommandNoted, Journal, ResourceAssigned, StateNoted
from holdfast.journal.sql import SqlJournal
from holdfast.settings import NodeSettings
from holdfast.support.sentences import Language
from holdfast.support.wording import Detail, Level, Line, line_of, line_of_state

from services.gateway.files.limits import LINES_MAX
from services.gateway.files.modules import module_place
from services.gateway.support.cleaning import cleaned_at

NOTES = "notes.jsonl"
"""What scripts wrote with printi, printw and printe, beside their own logs."""
NOTES_BYTES_MAX = 1 << 20
EVENTS_PER_LINE = 8
"""Events looked at for each line wanted: most facts, such as progress, make no line or only a verbose one."""


@contextmanager
def journal_of(settings: NodeSettings, module: str) -> Iterator[SqlJournal]:
    """Open a module's journal for reading; NotFoundError when it has none yet."""
    path = module_place(settings, module) / "journal.db"
    if not path.exists():
        raise NotFoundError(f"module '{module}' has no journal yet", hint="it begins with its first configuration")
    journal = SqlJournal(path, read_only=True)
    try:
        yield journal
    finally:
        journal.close()


def log_lines(
    settings: NodeSettings, module: str, *, count: int, detail: Detail, language: Language = Language.EN
) -> list[Line]:
    """Return the last `count` lines, oldest first; none from before the log was cleaned."""
    count = min(count, LINES_MAX)
    lines = _notes(settings, module)
    if (module_place(settings, module) / "journal.db").exists():
        with journal_of(settings, module) as journal:
            lines += [line_of_state(noted, language) for noted in journal.states(limit=count)]
            after = max(0, journal.last_sequence() - count * EVENTS_PER_LINE)
            told = (line_of(record.envelope, language) for record in journal.read(after=after))
            lines += [line for line in told if line is not None]
    cleaned_at_wall_ns = cleaned_at(module_place(settings, module))
    shown = [line for line in lines if detail.shows(line.level) and line.wall_ns > cleaned_at_wall_ns]
    return sorted(shown, key=lambda line: line.wall_ns)[-count:]


def add_note(settings: NodeSettings, module: str, line: Line) -> None:
    """Keep a line that a script wrote; the older half goes when there are too many."""
    path = module_place(settings, module) / "log" / NOTES
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > NOTES_BYTES_MAX:
        path.replace(path.with_suffix(".old"))
    body = {"wall_ns": line.wall_ns, "component": line.component, "level": line.level, "text": line.text}
    with path.open("a") as file:
        file.write(json.dumps(body) + "\n")


def resources(settings: NodeSettings, module: str) -> Sequence[ResourceAssigned]:
    with journal_of(settings, module) as journal:
        return journal.resources()


def resource_history(settings: NodeSettings, module: str, resource: str, limit: int) -> Sequence[ResourceAssigned]:
    with journal_of(settings, module) as journal:
        return journal.resource_history(resource, limit=limit)


def states(settings: NodeSettings, module: str, limit: int) -> Sequence[StateNoted]:
    with journal_of(settings, module) as journal:
        return journal.states(limit=limit)


def commands(settings: NodeSettings, module: str, limit: int) -> Sequence[CommandNoted]:
    with journal_of(settings, module) as journal:
        return journal.commands(limit=limit)


@contextmanager
def spans_of(settings: NodeSettings) -> Iterator[SpanStore]:
    """Open this node's store of spans for reading; NotFoundError when there is none yet."""
    path = settings.state_dir / SPANS
    if not path.exists():
        raise NotFoundError("this node has no traces yet")
    store = SpanStore(path, read_only=True)
    try:
        yield store
    finally:
        store.close()


def newest_entries(journal: Journal, *, limit: int) -> list[Entry]:
    """Read what a timeline of about `limit` entries needs."""
    return entries(journal, after=max(0, journal.last_sequence() - limit * EVENTS_PER_LINE))


def _notes(settings: NodeSettings, module: str) -> list[Line]:
    directory = module_place(settings, module) / "log"
    return [line for name in (f"{NOTES[:-6]}.old", NOTES) for line in _notes_in(directory / name)]


def _notes_in(path: Path) -> list[Line]:
    if not path.exists():
        return []
    with path.open("rb") as file:
        read = (_note(text) for text in file.read(NOTES_BYTES_MAX * 2).splitlines())
        return [line for line in read if line is not None]


def _note(text: bytes) -> Line | None:
    """One kept line; a damaged one (the disk was full) is left out."""
    try:
        body = json.loads(text)
        level, wall_ns = Level(body["level"]), int(body["wall_ns"])
        return Line(wall_ns=wall_ns, component=str(body["component"]), level=level, text=str(body["text"]))
    except (ValueError, KeyError, TypeError):
        return None
