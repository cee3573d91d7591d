"""`holdfast timeline`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from holdfast.errors import NotFoundError
from holdfast.ids import ModuleId, checked_name
from holdfast.settings import load_settings

from services.gateway.cli.options import JsonOption, ModuleOption, show

if TYPE_CHECKING:
    from holdfast.history.timeline import Entry

JournalsOption = Annotated[
    list[Path] | None,
    typer.Option("--journal", metavar="FILE", help="Another node's journal.db, to be merged; may be repeated."),
]


def run(
    module: ModuleOption,
    journals: JournalsOption = None,
    count: Annotated[int, typer.Option("-s", metavar="N", min=1, max=10_000, help="So many entries.")] = 200,
    everything: Annotated[bool, typer.Option("-A", help="Routine and repetitions too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print what happened in one list: what, on which node, caused by what, how long after that.

    Reads the journals themselves, so it also works on a node that does not run.

    Example: holdfast timeline -m shop --journal /mnt/node2/journal.db
    """
    from holdfast.history.timeline import merged, notable, render

    own = load_settings().module_dir(ModuleId(checked_name("module", module))) / "journal.db"
    found = merged([_read(path, count) for path in [own, *(journals or [])]])
    shown = list(found if everything else notable(found))[-count:]
    show([asdict(entry) for entry in shown], as_json=as_json, text="\n".join(render(shown)))


def _read(path: Path, count: int) -> list[Entry]:
    from holdfast.journal.sql import SqlJournal

    from services.gateway.history import newest_entries

    if not path.exists():
        raise NotFoundError(f"{path}: there is no journal")
    journal = SqlJournal(path, read_only=True)
    try:
        return newest_entries(journal, limit=count)
    finally:
        journal.close()
