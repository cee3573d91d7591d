"""The judge of the file workload can be believed: it finds every kind of loss."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.file_workload import expect, judge
from tests.tidy.rules import ROOT

LINES = 4000


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, bytes]]:
    """Lines of a real run that was killed, and the files that it left."""
    directory: Path = tmp_path_factory.mktemp("work") / "files"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.file_workload", str(directory), "7"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(LINES)]
        process.kill()
        lines += process.stdout.readlines()
    return lines, {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_run_on_an_ordinary_directory_is_found_right(record: tuple[list[str], dict[str, bytes]]) -> None:
    """Nothing is missing when nothing was lost."""
    lines, found = record
    expectation = expect(lines)
    assert expectation.acknowledged >= LINES // 2 - 1
    assert judge(expectation, found) == []


def test_a_missing_file_is_found(record: tuple[list[str], dict[str, bytes]]) -> None:
    """A file that was acknowledged and is gone is a loss."""
    lines, found = record
    expectation = expect(lines)
    name = sorted(expectation.files.keys() - expectation.undecided.keys())[0]
    assert judge(expectation, {n: c for n, c in found.items() if n != name})


def test_a_lost_append_is_found(record: tuple[list[str], dict[str, bytes]]) -> None:
    """A file that is shorter than acknowledged is a loss."""
    lines, found = record
    expectation = expect(lines)
    name = next(n for n, c in sorted(expectation.files.items()) if len(c) > 1 and n not in expectation.undecided)
    assert judge(expectation, {**found, name: found[name][:-1]})


def test_a_changed_byte_is_found(record: tuple[list[str], dict[str, bytes]]) -> None:
    """Contents count, not only sizes."""
    lines, found = record
    expectation = expect(lines)
    name = next(n for n, c in sorted(expectation.files.items()) if c and n not in expectation.undecided)
    assert judge(expectation, {**found, name: bytes([found[name][0] ^ 1]) + found[name][1:]})


def test_an_unlinked_file_that_came_back_is_found(record: tuple[list[str], dict[str, bytes]]) -> None:
    """A name that was removed and is there again is a loss of the removal."""
    lines, found = record
    expectation = expect(lines)
    assert judge(expectation, {**found, "file-from-nowhere": b"x"})


def test_a_line_cut_short_counts_as_not_written() -> None:
    """The node may die in the middle of a line."""
    begin = json.dumps({"step": "begin", "operation": "create", "name": "a", "seed": 1, "length": 3, "number": 1})
    expectation = expect([begin + "\n", '{"step": "do'])
    assert expectation.acknowledged == 0
    assert judge(expectation, {}) == []
