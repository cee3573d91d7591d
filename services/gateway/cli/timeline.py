"""`holdfast timeline`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from holdfast.errors import NotFoundError
from holdfast.ids import ModuleId, checked_name
from holdfast.settings import load_settings

from services.gateway.cli.options import JsonOption, ModuleOption, show, stamp

if TYPE_CHECKING:
    from services.gateway.timeline import Entry, Recorded

JournalsOption = Annotated[
    list[Path] | None,
    typer.Option("--journal", metavar="FILE", help="Another node's journal.db, to be merged; may be repeated."),
]


def run(
    module: ModuleOption,
    journals: JournalsOption = None,
    count: Annotated[int, typer.Option("-s", metavar="N", min=1, max=10_000, help="So many entries.")] = 200,
    everything: Annotated[bool, typer.Option("-A", help="Verbose entries too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what happened in one list: what, on which node, caused by what, how long after that.

    Reads the journals themselves, so it also works on a node that does not run.

    Example: holdfast timeline -m shop --journal /mnt/node2/journal.db
    """
    from services.gateway.timeline import merge

    settings = load_settings()
    own = settings.module_dir(_checked(module)) / "journal.db"
    read = [_read(path, settings.node, count) for path in [own, *(journals or [])]]
    for entry in merge(read, verbose=everything)[-count:]:
        show(asdict(entry), as_json=as_json, text=_text(entry))


def _checked(module: str) -> ModuleId:
    return ModuleId(checked_name("module", module))


def _read(path: Path, node: str, count: int) -> Recorded:
    from holdfast.journal.sql import SqlJournal

    from services.gateway.history import recorded

    if not path.exists():
        raise NotFoundError(f"{path}: there is no journal")
    journal = SqlJournal(path, read_only=True)
    try:
        return recorded(journal, node, limit=count)
    finally:
        journal.close()


def _text(entry: Entry) -> str:
    why = f"  ← {entry.caused_by}" if entry.caused_by else ""
    after = f" (+{entry.after_ms:.1f} ms)" if entry.after_ms else ""
    return f"{stamp(entry.wall_ns)}  {entry.node:<8} {entry.component:<14} {entry.text}{why}{after}"
