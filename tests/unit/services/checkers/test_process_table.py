"""Reading the process table, with entries that make their reader wait: a pipe that nobody writes to."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from holdfast.events.module import ProcessWatch

from services.checkers.process import arguments
from services.checkers.process.table import Found, ProcessTable

WATCH = ProcessWatch(name="shopd", argument_regex="--port 80")


def entry(proc: Path, pid: int, command: str = "shopd", state: str = "S (sleeping)", depth: str = "7") -> Path:
    place = proc / str(pid)
    place.mkdir()
    (place / "comm").write_text(f"{command}\n")
    (place / "status").write_text(f"Name:\t{command}\nState:\t{state}\nNSpid:\t{depth}\n")
    (place / "cgroup").write_text("0::/system.slice/shop.service\n")
    (place / "cmdline").write_bytes(b"/usr/bin/shopd\0--port\x0080\0")
    return place


def hang(place: Path) -> None:
    (place / "cmdline").unlink()
    os.mkfifo(place / "cmdline")


def go_on(place: Path) -> None:
    """Give whoever waits for the argument list what it waits for."""
    with (place / "cmdline").open("wb") as pipe:
        pipe.write(b"/usr/bin/shopd\0--port\x0080\0")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(arguments, "STEP_S_MAX", 0.05)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text("Name:\tpython\nNSpid:\t7\n")
    return tmp_path


def meant(found: Found) -> list[int]:
    return [seen.pid for seen in found.meant]


def unread(found: Found) -> list[int]:
    return [seen.pid for seen in found.unread]


def test_ended_processes_and_those_of_other_namespaces_do_not_count(proc: Path) -> None:
    entry(proc, 10)
    entry(proc, 11, state="Z (zombie)")
    entry(proc, 12, depth="7\t1")
    entry(proc, 13, command="other")
    assert meant(asyncio.run(ProcessTable(proc).find(ProcessWatch(name="shopd")))) == [10]


def test_process_that_hangs_is_told_apart_and_the_others_are_read(proc: Path) -> None:
    for pid in range(10, 16):
        entry(proc, pid)
    hanging = [proc / "11", proc / "14"]
    for place in hanging:
        hang(place)
    table = ProcessTable(proc)
    before = threading.active_count()

    async def scenario() -> None:
        for _ in range(3):
            found = await table.find(WATCH)
            assert (meant(found), unread(found)) == ([10, 12, 13, 15], [11, 14])
        for place in hanging:
            go_on(place)
            (place / "cmdline").unlink()
            (place / "cmdline").write_bytes(b"/usr/bin/shopd\0--port\x0080\0")
        while threading.active_count() > before:
            os.sched_yield()
        assert meant(await table.find(WATCH)) == list(range(10, 16))

    asyncio.run(scenario())


def test_number_of_waiting_helpers_is_limited(proc: Path) -> None:
    count = arguments.HANGING_MAX + 3
    places = [entry(proc, 10 + number) for number in range(count)]
    for place in places:
        hang(place)
    entry(proc, 99)
    table = ProcessTable(proc)

    async def scenario() -> None:
        found = await table.find(WATCH)
        assert meant(found) == []
        assert len(unread(found)) == count + 1
        found = await table.find(ProcessWatch(name="shopd"))
        assert len(meant(found)) == count + 1, "who does not ask for arguments is not concerned"
        for place in places[: arguments.HANGING_MAX]:
            go_on(place)

    asyncio.run(scenario())
