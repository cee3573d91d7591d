"""Damage beneath a replicated directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.demo import database
from holdfast.demo.damage import damage_one_file
from holdfast.lab.lab import Lab

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with a database cluster on node1 that nothing serves."""
    if not Path(database.PROGRAMS, "postgres").exists():
        pytest.skip(f"PostgreSQL {database.VERSION} is not installed")
    with Lab.create(f"d{os.getpid()}", nodes=1) as made:
        database.create(made.node("node1"))
        yield made


def test_one_byte_differs_and_nothing_else_shows_it(lab: Lab) -> None:
    node = lab.node("node1")
    data = node.root / database.DATA.lstrip("/")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in data.rglob("*") if path.is_file()}
    # Something is mounted over the directory, as the replicated file system is; the damage must be done beneath it.
    node.run(["mount", "-t", "tmpfs", "tmpfs", database.DATA])
    mounts = node.run(["cat", "/proc/self/mountinfo"]).stdout
    damaged = damage_one_file(node)
    assert node.run(["cat", "/proc/self/mountinfo"]).stdout == mounts
    node.run(["umount", database.DATA])
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in data.rglob("*") if path.is_file()}
    assert before.keys() == after.keys()
    changed = [path for path in before if before[path][1] != after[path][1]]
    assert changed == [data / damaged]
    old, new = before[changed[0]][1], after[changed[0]][1]
    assert len(old) == len(new)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 1
    assert before[changed[0]][0] == after[changed[0]][0]
