"""What `clean` takes away: lines of the log, kept history of resources.

The journal itself stays: it is the evidence of what was decided, and is kept within its limits by the state machine.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from holdfast.journal.database import open_engine, storage
from holdfast.journal.tables import RESOURCE_HISTORY
from sqlalchemy import delete, func, select

MARK = "cleaned"
"""Its content is the instant (wall clock, ns) up to which lines of the module's log are not shown any more."""
CHUNK_ROWS = 500
"""Deleted in one transaction: the state machine, which writes the same file, waits for no more than that."""


class What(StrEnum):
    ALL = "all"
    LOG = "log"
    RESOURCE = "resource"
    PROCESS = "process"

    def covers(self, other: What) -> bool:
        return self in (What.ALL, other)


def cleaned_at(place: Path) -> int:
    """When the log of the module at `place` was cleaned last, 0 for never."""
    try:
        return int((place / "log" / MARK).read_text())
    except (OSError, ValueError):
        return 0


def clean_log(place: Path, now_wall_ns: int) -> int:
    """Remove the logs of script runs and what scripts wrote, and show no earlier line; return how many files went."""
    folder = place / "log"
    folder.mkdir(exist_ok=True)
    (folder / MARK).write_text(str(now_wall_ns))
    gone = [*folder.glob("*.ulog"), *folder.glob("notes.*")]
    for file in gone:
        file.unlink(missing_ok=True)
    return len(gone)


def clean_resources(place: Path) -> int:
    """Forget earlier values of resources, the present ones stay; return how many went. Raises StorageError."""
    path = place / "journal.db"
    if not path.exists():
        return 0
    number = RESOURCE_HISTORY.c.number
    gone = 0
    with storage(path, "clean the history of resources"):
        engine = open_engine(path, synchronous="NORMAL", checkpoints=False)
        try:
            with engine.connect() as connection:
                newest = int(connection.execute(select(func.max(number))).scalar() or 0)
            while True:
                chunk = select(number).where(number <= newest).order_by(number).limit(CHUNK_ROWS)
                with engine.begin() as connection:
                    count = connection.execute(delete(RESOURCE_HISTORY).where(number.in_(chunk))).rowcount
                if not count:
                    return gone
                gone += count
        finally:
            engine.dispose()
