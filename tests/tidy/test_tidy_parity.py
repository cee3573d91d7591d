"""docs/parity.md: what it says is shown by tests that exist, and nothing that an operator may look for is missing."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from services.gateway.cli.main import COMMANDS
from tests.tidy.rules import ROOT

PAGE = ROOT / "docs/parity.md"
STATUSES = ("works", "partly", "not")
_TEST = re.compile(r"`(test_\w+)::(test_\w+)`")

MODEL_COMMANDS = """\
start stop restart stopstart shutdown forcestop swap prim second primforce secondforce waitstart waitstop waitstate
update get set errd checker failover boot incloop resetloop checkloop kill
rfsverify rfsdiff rfssync
state level log logview logsave printi printe cmdlog
config deconfig confcheck confinfo module cluster -H webservercfg webserver safeagent notification -p -r uninstall
dump snapshot clean anontool healthcheck firewallcfg smtpcfg safenotif dbclean
"""
"""The first word of each command that the model's guide documents."""


@dataclass(frozen=True, kw_only=True)
class Row:
    subject: str
    status: str
    here: str
    tests: tuple[tuple[str, str], ...]


@cache
def rows() -> tuple[Row, ...]:
    """The rows of all tables of the page."""
    found = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.replace(r"\|", "/").strip("|").split("|")]
        if line.startswith("|") and cells[0] != "Subject" and not cells[0].startswith("---"):
            assert len(cells) == 4, f"four columns, not {len(cells)}: {line}"
            tests = tuple((file, name) for file, name in _TEST.findall(cells[3]))
            found.append(Row(subject=cells[0], status=cells[1], here=cells[2], tests=tests))
    return tuple(found)


@cache
def functions(file: str) -> frozenset[str]:
    """The tests in the file of that name, which must be the only one."""
    (path,) = (ROOT / "tests").rglob(f"{file}.py")
    tree = ast.parse(Path(path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.subject)
def test_row_has_a_status_and_what_shows_it(row: Row) -> None:
    """What works has a test, and what does not says what happens instead."""
    assert row.status in STATUSES
    assert bool(row.tests) is (row.status != "not"), "a test for works and partly, none for not"
    assert row.here or row.status == "works", "what is missing, and what happens instead"
    missing = [f"{file}::{name}" for file, name in row.tests if name not in functions(file)]
    assert missing == []


def test_no_subject_stands_twice() -> None:
    """Each row is about something of its own."""
    subjects = [row.subject for row in rows()]
    assert sorted(set(subjects)) == sorted(subjects)


def test_every_command_stands_in_the_page() -> None:
    """The model's commands and ours, each as the first word of something in code marks at the start of a row."""
    said = {words.split()[0] for row in rows() for words in re.findall(r"`([^`]+)`", row.subject)}
    assert sorted({*MODEL_COMMANDS.split(), *COMMANDS} - said) == []
