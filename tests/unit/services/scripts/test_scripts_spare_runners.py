"""Runners made in advance: handed a run, killed, or left alone. Real processes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.ids import ModuleId

from services.scripts.record import Record, Records
from services.scripts.runner import OVER, Run
from services.scripts.spare import Spare, make_spare

MODULE = ModuleId("shop")
NICE = 3
WAIT_MS_MAX = 15_000


class Bench:
    """One spare, one script, one record."""

    def __init__(self, folder: Path) -> None:
        self.records = Records(folder / "records")
        self.script = folder / "script"
        self.log = folder / "log"
        self.spare: Spare = make_spare(os.getpid(), NICE)

    def write(self, text: str) -> None:
        self.script.write_text(text)
        self.script.chmod(0o755)

    def start(self, **environment: str) -> None:
        lock = self.records.lock(MODULE, "r1")
        assert lock is not None
        run = Run(
            script=self.script,
            arguments=("one", "two words"),
            environment={"PATH": "/usr/bin:/bin", **environment},
            timeout_ms=10_000,
            log=self.log,
            log_bytes_max=100_000,
            record=Record(run="r1", script="script", runner=0, started_at_wall_ns=1, log=""),
            record_path=self.records.path(MODULE, "r1"),
        )
        try:
            self.spare.start(run, lock)
        finally:
            os.close(lock)

    def record(self) -> Record:
        found = self.records.read(MODULE, "r1")
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    descriptor = os.dup(made.spare.descriptor)
    yield made
    if made.spare.channel.fileno() >= 0:
        made.spare.close()
    wait_for(descriptor)
    os.close(descriptor)


def wait_for(descriptor: int) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    assert poller.poll(WAIT_MS_MAX), "nothing came"


def is_free(lock: int) -> bool:
    """Take the lock, if nobody holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_spare_runs_its_script_and_says_when_the_record_is_written(bench: Bench) -> None:
    bench.write('#!/bin/sh\necho "$* $COLOUR"\nexit 3\n')
    bench.start(COLOUR="blue")
    wait_for(bench.spare.channel.fileno())
    assert bench.spare.channel.recv(64) == OVER
    assert (bench.record().finished, bench.record().exit_code, bench.record().runner) == (True, 3, bench.spare.pid)
    assert bench.log.read_text() == "one two words blue\n"


def test_the_script_gets_the_usual_niceness_and_a_session_of_its_own(bench: Bench) -> None:
    """Fields of proc_pid_stat(5): pid, command, state, ppid, pgrp, session; nice is the 19th."""
    bench.write("#!/bin/sh\nread -r line </proc/self/stat\necho $line\n")
    bench.start()
    wait_for(bench.spare.channel.fileno())
    fields = bench.log.read_text().split()
    assert fields[5] == fields[0]
    assert fields[18] == str(NICE)


def test_a_spare_without_a_run_ends_with_its_service(bench: Bench) -> None:
    bench.spare.channel.close()
    wait_for(bench.spare.descriptor)
    os.close(bench.spare.descriptor)
    assert bench.records.read(MODULE, "r1") is None


def test_a_runner_with_a_run_goes_on_without_its_service(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    bench.write(f"#!/bin/sh\nread -r line <{gate}\nexit 5\n")
    bench.start()
    bench.spare.channel.close()
    gate.write_text("go\n")
    wait_for(bench.spare.descriptor)
    os.close(bench.spare.descriptor)
    assert (bench.record().finished, bench.record().exit_code) == (True, 5)


def test_a_spare_that_was_killed_takes_no_run_and_holds_no_lock(bench: Bench) -> None:
    bench.write("#!/bin/sh\n")
    os.kill(bench.spare.pid, signal.SIGKILL)
    wait_for(bench.spare.descriptor)
    with pytest.raises(ConnectionError):
        bench.start()
    lock = bench.records.lock(MODULE, "r1")
    assert lock is not None
    os.close(lock)


def test_the_lock_is_held_until_the_runner_ends_and_not_by_what_the_script_leaves(bench: Bench, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    bench.write(f"#!/bin/sh\nsh -c 'read -r line <{gate}' &\nexit 0\n")
    bench.start()
    held = os.open(bench.records.path(MODULE, "r1").with_suffix(".lock"), os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    wait_for(bench.spare.descriptor)
    # The kernel may let go of a dead process's files a moment after its death is told.
    deadline = time.monotonic() + WAIT_MS_MAX / 1000
    while not is_free(held):
        assert time.monotonic() < deadline, "the lock is still held"
    os.close(held)
    gate.write_text("go\n")
