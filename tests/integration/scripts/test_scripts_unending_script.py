"""A script that no signal ends, because the kernel holds it for a file system that hangs, is given up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.ids import ModuleId

from services.rfs.fuse import mount
from services.scripts import runner
from services.scripts.record import EXIT_KILLED, Record, Records
from services.scripts.spare import make_spare

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[3]
MODULE = ModuleId("shop")
WAIT_MS_MAX = 20_000

CLOSES = """\
#!/bin/sh
exec 3<>"$TREE/file"
echo open >"$OPENED"
read -r line <"$GATE"
exec 3>&-
"""
EXECUTES = f"""\
#!{sys.executable}
import os
os.open(os.environ["TREE"] + "/file", os.O_RDWR)
open(os.environ["OPENED"], "w").write("open")
open(os.environ["GATE"]).read()
os.execv("/bin/true", ["true"])
"""
"""While it executes a program a process that hangs also holds up every reader of its /proc entry."""


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A mounted directory `tree`, served by a process that can be stopped."""
    tree = tmp_path / "tree"
    tree.mkdir()
    command = [sys.executable, "-m", "services.rfs.standalone", str(tree), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as served:
        try:
            assert served.stdout is not None
            assert served.stdout.readline() == b"ready\n"
            (tree / "file").touch()
            yield served
        finally:
            mount.unmount_busy(str(tree))
            served.kill()


def stop(served: subprocess.Popen[bytes]) -> None:
    """Return when all of its threads stand still; until then one of them may still answer."""
    served.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, served.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.parametrize("script", [CLOSES, EXECUTES], ids=["closing a file", "executing a program"])
def test_script_that_the_kernel_holds_is_given_up(
    script: str, tmp_path: Path, file_system: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.2)
    monkeypatch.setattr(runner, "UNENDING_S", 0.5)
    program, opened, gate, log = (tmp_path / name for name in ("script", "opened", "gate", "log"))
    program.write_text(script)
    program.chmod(0o755)
    os.mkfifo(opened)
    os.mkfifo(gate)
    records = Records(tmp_path / "records")
    lock = records.lock(MODULE, "r1")
    assert lock is not None
    spare = make_spare(os.getpid(), 0)
    places = {"TREE": str(tmp_path / "tree"), "OPENED": str(opened), "GATE": str(gate)}
    run = runner.Run(
        script=program,
        arguments=(),
        environment={"PATH": "/usr/bin:/bin", **places},
        timeout_ms=4000,
        log=log,
        log_bytes_max=10_000,
        record=Record(run="r1", script="script", runner=0, started_at_wall_ns=1, log=""),
        record_path=records.path(MODULE, "r1"),
    )
    spare.start(run, lock)
    os.close(lock)
    assert opened.read_text().strip() == "open"
    stop(file_system)
    gate.write_text("go\n")
    poller = select.poll()
    poller.register(spare.channel, select.POLLIN)
    assert poller.poll(WAIT_MS_MAX), "the run is not over"
    spare.close()
    record = records.read(MODULE, "r1")
    assert record is not None
    assert (record.finished, record.exit_code, record.timed_out) == (True, EXIT_KILLED, True)
    assert "did not end within 0.5 s" in log.read_text()
