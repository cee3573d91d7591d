"""Checker custom with real programs: what they get, how they are restarted, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.events.module import CustomWatch, ReportFacts, WatchResources

from services.checkers.custom.output import LOG_BYTES_MAX
from tests.integration.checkers.checker_stage import Stage, end, is_alive, play, write_program

pytestmark = pytest.mark.root

WAIT_S_MAX = 15.0
LOOP = """#!/bin/sh
echo "$@" >"$OUT/arguments"
env >"$OUT/environment"
pwd >"$OUT/directory"
sleep 600 & echo $! >"$OUT/child"
echo $$ >"$OUT/pid.new"; mv "$OUT/pid.new" "$OUT/pid"
wait
"""


def custom(stage: Stage, *arguments: str, program: str = "check.sh") -> WatchResources:
    out = (("OUT", str(stage.place.root)),)
    watch = CustomWatch(ident="disk", program=program, arguments=arguments, environment=out, action="restart")
    return WatchResources(custom=(watch,))


async def until(condition: Callable[[], bool]) -> None:
    end_at = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < end_at, "not in time"
        await asyncio.sleep(0.01)


async def pid_in(path: Path) -> int:
    await until(path.exists)
    return take_pid(path)


def take_pid(path: Path) -> int:
    pid = int(path.read_text())
    path.unlink()
    return pid


def log_of(stage: Stage) -> Path:
    return stage.place.state_dir / "modules" / "shop" / "log" / "checker_disk.log"


def test_program_gets_module_resource_and_its_words_and_begins_as_init() -> None:
    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", LOOP)
        await stage.watch(custom(stage, "/data", "90"))
        assert (await stage.reported("custom.disk", "init")).action == "restart"
        await pid_in(stage.place.root / "pid")
        assert (stage.place.root / "arguments").read_text() == "shop custom.disk /data 90\n"
        environment = (stage.place.root / "environment").read_text().splitlines()
        assert {"SAFEMODULE=shop", f"SAFE={stage.place.state_dir}/safe"} <= set(environment)
        assert (stage.place.root / "directory").read_text().endswith("shop/active/bin\n")
        stage.listener.forget()
        await stage.listener.order("shop", "checker-custom", ReportFacts())
        await stage.watch(custom(stage), "mark")
        await stage.reported("custom.disk", "init")
        assert len(stage.values("custom.disk")) == 1, "what the program said last is not overwritten"

    play("custom", scenario)


def test_program_that_dies_is_started_again() -> None:
    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", LOOP)
        await stage.watch(custom(stage))
        first = await pid_in(stage.place.root / "pid")
        child = await pid_in(stage.place.root / "child")
        end(first)
        second = await pid_in(stage.place.root / "pid")
        assert second != first
        assert not is_alive(child), "what the dead program had started is gone"

    play("custom", scenario)


def test_watch_that_ends_takes_the_whole_process_group_along() -> None:
    """Also one that ignores the request to end."""

    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", LOOP.replace("env >", 'trap "" TERM; env >'))
        await stage.watch(custom(stage))
        program = await pid_in(stage.place.root / "pid")
        child = await pid_in(stage.place.root / "child")
        await stage.watch(WatchResources())
        await until(lambda: not is_alive(program) and not is_alive(child))

    play("custom", scenario)


def test_end_of_the_service_takes_all_programs_along() -> None:
    pids: list[int] = []

    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", LOOP)
        await stage.watch(custom(stage))
        pids.extend([await pid_in(stage.place.root / "pid"), await pid_in(stage.place.root / "child")])

    play("custom", scenario)
    assert not any(is_alive(pid) for pid in pids)


def test_killed_service_leaves_nothing_behind_and_begins_anew() -> None:
    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", LOOP)
        await stage.watch(custom(stage))
        program = await pid_in(stage.place.root / "pid")
        child = await pid_in(stage.place.root / "child")
        await stage.kill_and_restart()
        await until(lambda: not is_alive(program) and not is_alive(child))
        await stage.watch(custom(stage))
        assert await pid_in(stage.place.root / "pid") != program

    play("custom", scenario)


def test_program_that_is_missing_at_first_is_tried_again() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(custom(stage))
        await stage.reported("custom.disk", "init")
        write_program(stage.place, "shop", "check.sh", LOOP.removeprefix("#!/bin/sh\n"))
        await pid_in(stage.place.root / "pid")

    play("custom", scenario)


def test_output_is_kept_within_a_limit() -> None:
    async def scenario(stage: Stage) -> None:
        write_program(stage.place, "shop", "check.sh", "#!/bin/sh\nexec yes 'a line of output'\n")
        await stage.watch(custom(stage))
        log = log_of(stage)
        older = log.with_name("checker_disk.log.1")
        await until(older.exists)
        assert "a line of output" in older.read_text()
        await stage.watch(WatchResources())
        # Between the two files changing places and the next line there is no newer one.
        found = [file for file in (log, older) if file.exists()]
        assert max(file.stat().st_size for file in found) <= LOG_BYTES_MAX

    play("custom", scenario)
