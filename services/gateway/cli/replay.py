"""`holdfast replay`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from holdfast.errors import ExitCode, NotFoundError, OperatorError
from holdfast.ids import ModuleId, checked_name
from holdfast.settings import load_settings

from services.gateway.cli.options import JsonOption, ModuleOption, show, stamp

if TYPE_CHECKING:
    from holdfast.history.replay import ReplayReport


def run(
    module: ModuleOption,
    since: Annotated[str, typer.Option(metavar="DATE", help="Report decisions from then on (ISO 8601, UTC).")] = "",
    journal: Annotated[Path | None, typer.Option("--journal", metavar="FILE", help="Instead of this node's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the recorded events through the decider again; every recorded decision has to come out again.

    Exit code 10 when one does not, or when the journal was altered; the event at which that shows is named.

    Example: holdfast replay -m shop --since 2026-01-31T12:00:00
    """
    from holdfast.history.replay import replay
    from holdfast.journal.sql import SqlJournal

    path = journal or load_settings().module_dir(ModuleId(checked_name("module", module))) / "journal.db"
    if not path.exists():
        raise NotFoundError(f"{path}: there is no journal")
    opened = SqlJournal(path, read_only=True)
    try:
        found = replay(opened, since_wall_ns=_since_ns(since))
    finally:
        opened.close()
    show(asdict(found), as_json=as_json, text=_text(found))
    raise typer.Exit(int(ExitCode.OK if found.is_same else ExitCode.DIFFERENCES))


def _since_ns(text: str) -> int:
    if not text:
        return 0
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise OperatorError(f"{text!r} is not a date", hint="for example 2026-01-31T12:00:00") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)


def _text(found: ReplayReport) -> str:
    lines = [f"{stamp(t.wall_ns)}  {t.role} {t.status}  epoch {t.epoch}  {t.reason}" for t in found.transitions]
    lines += [f"event {d.sequence} ({d.event}): {d.what}" for d in found.differences]
    if found.broken:
        lines.append(f"the journal is broken at event {found.broken_at}: {found.broken}")
    outcome = "every decision came out again" if found.is_same else "NOT the same"
    lines.append(f"{found.events} events, {found.decisions} decisions: {outcome}")
    return "\n".join(lines)
