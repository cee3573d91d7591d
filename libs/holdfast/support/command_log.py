"""The command log of a node: every request that changes something, who asked, when it began and ended, with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import BigInteger, Column, Integer, MetaData, RowMapping, Table, Text, delete, insert, select, update

from holdfast.journal.database import open_engine, storage

FILE_NAME = "commands.db"
COMMANDS_MAX = 20_000
"""About 8 MB; an operator's years, or some days of a script that asks every minute for each of 10 modules."""
UNFINISHED = -1
"""Exit code of a command that has not ended, or whose gateway ended first."""

_METADATA = MetaData()
_COMMANDS = Table(
    "commands",
    _METADATA,
    Column("number", Integer, primary_key=True),
    Column("began_wall_ns", BigInteger, nullable=False),
    Column("ended_wall_ns", BigInteger, nullable=False),
    Column("module", Text, nullable=False, index=True),
    Column("who", Text, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("command", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("result", Text, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandEntry:
    """One request. ended_wall_ns: 0 while it has not ended. module: empty for one about the node. who: as the caller
    says. uid, pid: as the kernel says, -1 and 0 when it could not tell. command: the command line that sent it, empty
    for other programs. request: method and path. arguments: what was sent, secrets masked. exit_code: as the command
    line's, UNFINISHED while it has not ended. result: what went wrong, in words."""

    began_wall_ns: int
    ended_wall_ns: int = 0
    module: str = ""
    who: str = ""
    uid: int = -1
    pid: int = 0
    command: str = ""
    request: str
    arguments: str = ""
    exit_code: int = UNFINISHED
    result: str = ""


class CommandLog:
    """One SQLite file. Not thread-safe: one thread writes; every reader opens its own. Raises StorageError."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        with storage(path, "open the command log"):
            self._engine = open_engine(path, synchronous="NORMAL", read_only=read_only)
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
                with self._engine.begin() as connection:
                    _METADATA.create_all(connection)

    def begin(self, entry: CommandEntry) -> int:
        """Record that a command has begun; return its number. The oldest beyond COMMANDS_MAX go."""
        with storage(self._path, "record a command"), self._engine.begin() as connection:
            key = connection.execute(insert(_COMMANDS).values(**asdict(entry))).inserted_primary_key
            number = int(key[0]) if key is not None else 0
            connection.execute(delete(_COMMANDS).where(_COMMANDS.c.number <= number - COMMANDS_MAX))
        return number

    def end(self, number: int, *, wall_ns: int, exit_code: int, result: str) -> None:
        """Record how a command ended."""
        changed = {"ended_wall_ns": wall_ns, "exit_code": exit_code, "result": result}
        with storage(self._path, "record a command's end"), self._engine.begin() as connection:
            connection.execute(update(_COMMANDS).where(_COMMANDS.c.number == number).values(**changed))

    def read(self, *, limit: int, module: str = "") -> Sequence[CommandEntry]:
        """Return the last commands (about one module, or all), newest first."""
        query = select(_COMMANDS).order_by(_COMMANDS.c.number.desc()).limit(limit)
        if module:
            query = query.where(_COMMANDS.c.module == module)
        with storage(self._path, "read the command log"), self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def close(self) -> None:
        self._engine.dispose()


def _entry(row: RowMapping) -> CommandEntry:
    return CommandEntry(**{name: value for name, value in row.items() if name != "number"})
