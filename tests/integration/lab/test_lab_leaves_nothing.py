"""After a lab the machine is as it was, however the lab ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from holdfast.lab.addressing import lab_name
from holdfast.lab.errors import LabNotFoundError, LabUsageError
from holdfast.lab.lab import Lab, destroy
from holdfast.lab.state import directory_of

pytestmark = pytest.mark.root

COMMAND = [sys.executable, "-m", "services.gateway.cli.lab"]
Things = dict[str, list[str]]
Leftovers = Callable[[str], Things]
DISK_BYTES = 64 * 1024**2


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test uses, and whose lab is ended if the test fails to."""
    unique = f"n{os.getpid()}-{abs(hash(request.node.name)) % 10**6}"

    yield unique
    if directory_of(lab_name(unique)).exists():
        destroy(unique)


def test_nothing_is_left_after_down(name: str, leftovers: Leftovers, shape: Callable[[], Things]) -> None:
    before = shape()
    lab = Lab.create(name, disk_bytes=DISK_BYTES)
    sleeper = lab.client.popen(["sleep", "1000"])
    lab.node("node1").kill(link_up=True)
    assert list(leftovers(name)) == ["processes", "loops"]
    assert shape() == before
    lab.down()
    assert sleeper.wait(timeout=10) == -signal.SIGKILL
    for stream in (sleeper.stdout, sleeper.stderr):
        assert stream is not None
        stream.close()
    assert leftovers(name) == {}
    assert shape() == before
    assert not directory_of(lab_name(name)).exists()


def test_several_labs_live_beside_each_other(name: str, leftovers: Leftovers) -> None:
    with Lab.create(name, disk_bytes=DISK_BYTES) as one, Lab.create(f"{name}b", disk_bytes=DISK_BYTES) as two:
        two.node("node2").kill()
        one.node("node1").run(["ping", "-c1", "-W1", str(one.node("node2").ipv4())])
    assert leftovers(name) == {}


def test_lab_of_a_taken_name_is_refused_and_the_first_lives(name: str) -> None:
    with Lab.create(name, disk_bytes=DISK_BYTES) as lab:
        with pytest.raises(LabUsageError, match="exists"):
            Lab.create(name, disk_bytes=DISK_BYTES)
        lab.node("node1").run(["true"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["directory", "file", "first disk", "second disk"])
def test_interrupted_up_takes_everything_away(
    name: str, leftovers: Leftovers, when: str, number: signal.Signals
) -> None:
    directory = directory_of(lab_name(name))
    sign = {
        "directory": directory,
        "file": directory / "lab.json",
        "first disk": directory / "node1/disk.img",
        "second disk": directory / "node2/disk.img",
    }[when]
    process = subprocess.Popen([*COMMAND, "up", "--bare", "--name", name], stderr=subprocess.DEVNULL)
    _wait_for(sign, process)
    process.send_signal(number)
    assert process.wait(timeout=30) != 0
    assert leftovers(name) == {}
    assert not directory.exists()


def test_lab_whose_maker_was_killed_can_be_ended(name: str, leftovers: Leftovers) -> None:
    directory = directory_of(lab_name(name))
    process = subprocess.Popen([*COMMAND, "up", "--bare", "--name", name])
    _wait_for(directory / "node1/disk.img", process)
    process.kill()
    process.wait()
    destroy(name)
    assert leftovers(name) == {}
    assert not directory.exists()


def test_lab_with_a_broken_file_can_be_ended(name: str, leftovers: Leftovers) -> None:
    lab = Lab.create(name, disk_bytes=DISK_BYTES)
    (lab.directory / "lab.json").write_text("{")
    subprocess.run([*COMMAND, "down", "--name", name], check=True, timeout=60)
    assert leftovers(name) == {}


def test_lab_that_is_not_there_cannot_be_ended() -> None:
    with pytest.raises(LabNotFoundError):
        destroy("never-made")


def _wait_for(sign: Path, process: subprocess.Popen[bytes]) -> None:
    """Look as often as possible, to be early enough."""
    deadline = time.monotonic() + 30
    while not sign.exists():
        assert process.poll() is None, "ended before it could be interrupted"
        assert time.monotonic() < deadline
