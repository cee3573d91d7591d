"""Directories that cannot all be opened leave nothing open; what a killed worker kept is there for another try."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.clock import SystemClock
from holdfast.events.replication import (
    ReplicatedDirectory,
    ReplicateDirectories,
    ReplicationMode,
    ReplicationSettings,
)
from holdfast.ids import Epoch, Generation

from services.rfs.control import Control, Places
from services.rfs.descriptors import Inherited, NoStore

TRIES = 3


class OneKept(NoStore):
    """A store that holds one descriptor."""

    def __init__(self, fd: int) -> None:
        self._kept = {"device-0": fd}

    def take(self, name: str) -> int | None:
        return self._kept.pop(name, None)


def test_a_missing_directory_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    control = Control(
        module="test",
        node="one",
        places=Places(tmp_path / "run", tmp_path / "data"),
        store=NoStore(),
        clock=SystemClock(),
        changed=lambda: None,
    )
    directories = tuple(ReplicatedDirectory(path=str(tmp_path / name)) for name in ("there", "missing"))
    order = ReplicateDirectories(
        mode=ReplicationMode.SECONDARY,
        epoch=Epoch(1),
        fence_epoch=Epoch(0),
        generation=Generation("g"),
        base=Generation(""),
        local_address="127.0.0.1",
        peer_address="127.0.0.1",
        port=1,
        settings=ReplicationSettings(directories=directories),
    )
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(TRIES):
        control.obey(order)
        assert "missing" in control.report().failed
        assert len(os.listdir("/proc/self/fd")) == before
    control.close()


def test_a_descriptor_that_was_given_back_is_taken_again() -> None:
    inherited = Inherited(OneKept(7))
    assert inherited.take("device-0") == 7
    assert inherited.take("device-0") is None
    inherited.give_back("device-0", 7)
    assert inherited.take("device-0") == 7
