"""The same with systemd itself: its manager of a user's services speaks the same language, on a bus that it starts.

It runs in a mount and a process namespace of its own, so that all that it starts ends with it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.systemd.bus import BusConnection
from holdfast.systemd.manager import ask_manager, unknown_units

from services.checkers.process import units as units_module
from services.checkers.process.units import Followed, Units

SYSTEMD = Path("/lib/systemd/systemd")
ITS_BUS = Path("/usr/lib/systemd/user/dbus.socket")
WAIT_S_MAX = 30
NAP = "hfnap.service"
SERVICE = """\
[Service]
ExecStart=/bin/sleep 1000
Restart=always
RestartSec=200ms
"""
START = """\
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$GROUP
echo 0 >/sys/fs/cgroup/$GROUP/cgroup.procs
env -i PATH=/usr/bin:/bin HOME=/nonexistent XDG_RUNTIME_DIR="$PLACE" "$0" --user --unit=basic.target &
wait
"""

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not (SYSTEMD.exists() and ITS_BUS.exists()), reason="systemd for users is not installed"),
    pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="it would not be alone with its control groups"),
]


@pytest.fixture
def real_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bus on which systemd is, or will be in a moment."""
    monkeypatch.setattr(units_module, "RETRY_S", 0.05)
    (tmp_path / "systemd" / "user").mkdir(parents=True)
    (tmp_path / "systemd" / "user" / NAP).write_text(SERVICE)
    environment = {**os.environ, "PLACE": str(tmp_path), "GROUP": f"hftest{os.getpid()}"}
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", START, str(SYSTEMD)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:
        yield f"unix:path={tmp_path}/bus"
        process.kill()
    subprocess.run(["unshare", "--mount", "sh", "-c", REMOVE], env=environment, check=True)


REMOVE = """\
mount -t cgroup2 cgroup2 /sys/fs/cgroup && cd /sys/fs/cgroup && [ -d $GROUP ] || exit 0
for _ in $(seq 100); do grep -q 'populated 0' $GROUP/cgroup.events && break; sleep 0.05; done
find $GROUP -depth -type d -exec rmdir {} +
"""


async def until(unit: Followed, active: str) -> None:
    while unit.state is None or unit.state.active != active:
        await unit.news.wait()
        unit.news.clear()


def test_unit_is_followed_through_its_life(real_systemd: str) -> None:
    async def scenario() -> None:
        units = Units(real_systemd)
        running = asyncio.ensure_future(units.run())
        with units.follow(NAP, asyncio.Event()) as unit:
            await until(unit, "inactive")
            systemd = await BusConnection.open(real_systemd, lambda _signal: None)
            await ask_manager(systemd, "StartUnit", "ss", NAP, "replace")
            await until(unit, "active")
            assert not unit.take_end()
            first = unit.state
            await ask_manager(systemd, "KillUnit", "ssi", NAP, "all", 9)
            while not unit.take_end():
                await unit.news.wait()
                unit.news.clear()
            await until(unit, "active")
            assert unit.state is not None
            assert first is not None
            assert unit.state.invocation != first.invocation
            await ask_manager(systemd, "StopUnit", "ss", NAP, "replace")
            await until(unit, "inactive")
            assert unit.take_end()
        assert await unknown_units([NAP, "basic.target", "nosuch", "no such/name"], real_systemd) == {
            "nosuch",
            "no such/name",
        }
        running.cancel()
        await systemd.close()

    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            await scenario()

    asyncio.run(bounded())
