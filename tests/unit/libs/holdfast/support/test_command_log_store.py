"""The store of the command log is bounded, and its writer holds nobody up."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.support import command_log
from holdfast.support.command_log import UNFINISHED, CommandEntry, CommandLog


def entry(number: int, module: str = "shop") -> CommandEntry:
    return CommandEntry(
        began_wall_ns=number, module=module, who="ann", request="POST /x", command=f"holdfast start {number}"
    )


def test_commands_are_read_newest_first_with_their_ends(tmp_path: Path) -> None:
    log = CommandLog(tmp_path / "commands.db")
    first = log.begin(entry(1))
    log.begin(entry(2, module="web"))
    log.end(first, wall_ns=9, exit_code=4, result="refused")
    found = log.read(limit=10)
    assert [each.began_wall_ns for each in found] == [2, 1]
    assert (found[1].ended_wall_ns, found[1].exit_code, found[1].result) == (9, 4, "refused")
    assert found[0].exit_code == UNFINISHED
    assert [each.module for each in log.read(limit=10, module="web")] == ["web"]
    log.close()


def test_the_oldest_commands_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_log, "COMMANDS_MAX", 5)
    log = CommandLog(tmp_path / "commands.db")
    for number in range(12):
        log.begin(entry(number))
    assert [each.began_wall_ns for each in log.read(limit=100)] == [11, 10, 9, 8, 7]
    log.close()
