"""A process that no signal ends, because the kernel holds it for a file system that hangs, holds no checker up.

While it executes a program it makes most readers of its /proc entry wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.events.module import ProcessWatch, ResourceReported, WatchResources
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

from services.checkers.custom.leftovers import FILE_NAME, Leftovers
from services.rfs.fuse import mount

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3]
WAIT_S_MAX = 30
EXECUTES = """\
import os, sys
open("/proc/self/comm", "w").write(sys.argv[2])
os.open(sys.argv[1], os.O_RDWR)
print("open", flush=True)
sys.stdin.readline()
os.execv("/bin/true", ["true"])
"""
ENDS_ALL = """\
import pathlib, sys
from services.checkers.custom.leftovers import Leftovers
Leftovers(pathlib.Path(sys.argv[1])).end_all()
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[str]:
    """The command name of a process that hangs while it executes a program."""
    tree = tmp_path / "tree"
    tree.mkdir()
    name = f"hang{os.getpid() % 100000}"
    command = [sys.executable, "-m", "services.rfs.standalone", str(tree), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as served:
        assert served.stdout is not None
        assert served.stdout.readline() == b"ready\n"
        (tree / "file").touch()
        program = [sys.executable, "-c", EXECUTES, str(tree / "file"), name]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdin is not None
                assert process.stdout.readline() == b"open\n"
                served.send_signal(signal.SIGSTOP)
                # Until all of its threads stand still one of them may still answer.
                os.waitid(os.P_PID, served.pid, os.WSTOPPED | os.WNOWAIT)
                process.stdin.write(b"go\n")
                process.stdin.flush()
                # The kernel puts the new program's (still empty) argument list in place before it closes the file.
                while Path(f"/proc/{process.pid}/statm").read_text().split()[0] not in ("0", "1"):
                    os.sched_yield()
                yield name
            finally:
                mount.unmount_busy(str(tree))
                process.kill()
                served.kill()


def test_checker_sees_all_other_processes_and_that_the_hanging_one_is_there(
    place: NodePlace, nats_server: NatsServer, hanging: str
) -> None:
    service = ServiceProcess(place, "services.checkers.process")
    seconds = f"987.{os.getpid()}"
    watches = (
        ProcessWatch(name=hanging),
        ProcessWatch(name="sleeps", name_regex="^sleep$", argument_regex=f"^sleep {seconds}$"),
        ProcessWatch(name="any", name_regex=".", argument_regex=f"^sleep {seconds}$"),
        ProcessWatch(name="nosuch", name_regex=".", argument_regex="^no such program$"),
    )

    async def run() -> None:
        listener = await Listener.connect(place)
        try:
            service.start()
            await listener.service_started("checker-process")
            await listener.order("shop", "checker-process", WatchResources(processes=watches))

            async def reported(resource: str, value: str) -> None:
                await listener.wait_for(ResourceReported, lambda f: (f.resource, f.value) == (resource, value))

            sleeping = await asyncio.create_subprocess_exec("sleep", seconds)
            try:
                for resource in (f"proc.{hanging}", "proc.sleeps", "proc.any"):
                    await reported(resource, "up")
            finally:
                sleeping.kill()
                await sleeping.wait()
            for resource in ("proc.sleeps", "proc.any", "proc.nosuch"):
                await reported(resource, "down")
        finally:
            await listener.close()

    try:
        asyncio.run(run())
    finally:
        service.stop()


def test_leftovers_of_custom_checkers_are_ended(tmp_path: Path, hanging: str) -> None:
    """In a process of its own, which can be killed if it waits."""
    with subprocess.Popen(["sleep", "986"], start_new_session=True) as left:
        try:
            earlier = Leftovers(tmp_path)
            earlier.add(left.pid)
            subprocess.run(
                [sys.executable, "-c", ENDS_ALL, str(tmp_path)], cwd=REPOSITORY, check=True, timeout=WAIT_S_MAX
            )
            assert left.wait(WAIT_S_MAX) == -signal.SIGKILL
        finally:
            left.kill()
    assert json.loads((tmp_path / FILE_NAME).read_text())["groups"] == []
