"""Whole trees are compared after a restart of a machine, with a secondary of this version or an earlier one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.rfs import link
from services.rfs.core import checksum
from services.rfs.link import Hello
from tests.integration.rfs.replication_kit import Copy, Hand, bring_in_step, differences, until

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]

DIRECTORIES = 40
FILES = 10
LARGE = 300_000


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, "one")
    yield copy
    copy.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Copy]:
    copy = Copy(tmp_path, "two")
    yield copy
    copy.close()


def populate(top: Path) -> None:
    for number in range(DIRECTORIES):
        (top / f"d{number}/below").mkdir(parents=True)
        for name in range(FILES):
            (top / f"d{number}/below/f{name}").write_bytes(b"%d" % name)
    os.link(top / "d1/below/f1", top / "d2/below/also")


def say(monkeypatch: pytest.MonkeyPatch, **differently: object) -> None:
    """Have the secondary's greetings say something else."""
    dial = link.dial

    def dialled(*arguments: str | int, hello: Hello, **others: Any) -> object:
        return dial(*arguments, hello=replace(hello, **differently), **others)  # type: ignore[arg-type]

    monkeypatch.setattr(link, "dial", dialled)


EARLIER = {"fast_checksum": "", "census": False}
"""What a secondary does not say that knows neither."""


@pytest.mark.parametrize("said", [{}, EARLIER], ids=["this version", "an earlier version"])
def test_what_changed_unseen_on_either_side_is_found(
    one: Copy, two: Copy, monkeypatch: pytest.MonkeyPatch, said: dict[str, object]
) -> None:
    populate(one.path)
    say(monkeypatch, **said)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    for _ in range(2):
        assert primary.checkpoint(10)
    until(lambda: two.journal.noted == 0, what="the secondary has forgotten its notes")
    two.stop_secondary()
    primary.go_alone()
    # Nobody notes these, as when the machine was reset before its notes were on disk.
    (two.path / "d3/below/f3").write_bytes(b"torn")
    (two.path / "d4/below/extra").touch()
    (two.path / "d5").chmod(0o700)
    shutil.rmtree(two.path / "d6")
    (two.path / "d2/below/also").unlink()
    (one.path / "d7/below/f7").write_bytes(b"newer")
    (one.path / "d8/new/deep").mkdir(parents=True)
    say(monkeypatch, rebooted=True)
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    assert primary.counts.kind == "compare"
    assert primary.counts.compared > DIRECTORIES * FILES / 2
    assert primary.counts.entries < FILES
    assert differences(one.path, two.path) == []


@pytest.mark.parametrize("said", [{}, EARLIER], ids=["this version", "an earlier version"])
def test_large_writes_arrive_with_the_checksums_that_both_have(
    one: Copy, two: Copy, monkeypatch: pytest.MonkeyPatch, said: dict[str, object]
) -> None:
    say(monkeypatch, **said)
    primary = one.become_primary()
    two.become_secondary(primary.port)
    bring_in_step(one, two)
    hand = Hand(one)
    assert hand.engine.window.fast == (bool(checksum.FAST) and not said)
    hand.create(b"large")
    for number in range(60):
        hand.write(b"large", os.urandom(LARGE), number * LARGE)
    hand.fsync(b"large")
    assert differences(one.path, two.path) == []
