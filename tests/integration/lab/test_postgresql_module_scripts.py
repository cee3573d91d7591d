"""The scripts of the PostgreSQL module, run on a node as the scripts service does, with a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from holdfast.lab.lab import Lab
from holdfast.lab.node import Node
from holdfast.lab.place import kill_group

pytestmark = pytest.mark.root

VERSION: Final = "15"
PROGRAMS: Final = f"/usr/lib/postgresql/{VERSION}/bin"
DATA: Final = f"/var/lib/postgresql/{VERSION}/main"
SCRIPTS: Final = Path(__file__).resolve().parents[3] / "ops/modules/postgresql/bin"
SAFE: Final = "/var/lib/safe"
AS_POSTGRES: Final = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


@pytest.fixture(scope="module")
def prepared() -> Iterator[Node]:
    """A node with an empty database cluster, and a `safekit` command that only notes what it was asked."""
    if not Path(PROGRAMS, "initdb").exists():
        pytest.skip(f"PostgreSQL {VERSION} is not installed")
    with Lab.create(f"p{os.getpid()}", nodes=1) as lab:
        node = lab.node("node1")
        node.run([*AS_POSTGRES, f"{PROGRAMS}/initdb", "--no-sync", "-A", "trust", "-D", DATA])
        note = f'#!/bin/sh\\necho "$*" >> {SAFE}/asked\\n'
        node.run(["sh", "-c", f"mkdir {SAFE}; printf '{note}' > {SAFE}/safekit; chmod 755 {SAFE}/safekit"])
        yield node


@pytest.fixture
def node(prepared: Node) -> Iterator[Node]:
    """The same node with PostgreSQL stopped, before and after."""
    prepared.run(["sh", "-c", f": > {SAFE}/asked"])
    yield prepared
    script(prepared, "stop_prim", "force")


def script(node: Node, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the module."""
    env = {"SAFE": SAFE, "SAFEMODULE": "postgresql", "PGVERSION": VERSION, "PGCLUSTER": "main", "PGDATA": DATA}
    env |= {"PGPORT": "5432", **variables}
    return node.run([str(SCRIPTS / name), *arguments], env=env, check=False)


def query(node: Node, text: str) -> subprocess.CompletedProcess[str]:
    """Ask the database."""
    return node.run([*AS_POSTGRES, f"{PROGRAMS}/psql", "-qAtc", text], check=False)


def asked(node: Node) -> str:
    """What the scripts asked of Holdfast."""
    return (node.root / SAFE.lstrip("/") / "asked").read_text()


def postmaster(node: Node) -> str:
    """The number in the postmaster's file."""
    return (node.root / DATA.lstrip("/") / "postmaster.pid").read_text().split()[0]


def test_started_database_answers_when_the_script_returns(node: Node) -> None:
    assert script(node, "start_prim", "WAIT", "ALONE", "start").returncode == 0
    assert query(node, "select 1").stdout == "1\n"
    assert asked(node) == ""


def test_start_leaves_a_running_database_alone(node: Node) -> None:
    script(node, "start_prim")
    first = postmaster(node)
    assert script(node, "start_prim").returncode == 0
    assert postmaster(node) == first


def test_stop_is_in_good_order_even_with_a_client_connected(node: Node) -> None:
    script(node, "start_prim")
    client = node.popen([*AS_POSTGRES, f"{PROGRAMS}/psql", "-qAtc", "select pg_sleep(1000)"])
    try:
        assert script(node, "stop_prim", "ALONE", "STOP", "stop").returncode == 0
    finally:
        kill_group(client)
    state = node.run([f"{PROGRAMS}/pg_controldata", DATA]).stdout
    assert "shut down\n" in state.split("Database cluster state:")[1]
    assert query(node, "select 1").returncode != 0


def test_stop_where_nothing_runs_is_no_error(node: Node) -> None:
    assert script(node, "stop_prim").returncode == 0
    assert script(node, "stop_prim", "force").returncode == 0


def test_forced_stop_kills_what_is_left(node: Node) -> None:
    script(node, "start_prim")
    assert script(node, "stop_prim", "force", "ALONE", "STOP", "stop").returncode == 0
    assert query(node, "select 1").returncode != 0
    assert not (node.root / DATA.lstrip("/") / "postmaster.pid").exists()


def test_file_of_a_dead_primary_does_not_prevent_the_takeover(node: Node) -> None:
    """The dead postmaster's number belongs to another process here, which PostgreSQL would take for a rival."""
    script(node, "start_prim")
    query(node, "create table kept as select 7 as x")
    file = node.root / DATA.lstrip("/") / "postmaster.pid"
    lines = file.read_text().splitlines()
    script(node, "stop_prim", "force")
    other = node.popen([*AS_POSTGRES, "sh", "-c", "echo $$; exec sleep 1000"])
    try:
        assert other.stdout is not None
        number = other.stdout.readline().strip()
        file.write_text("\n".join([number, *lines[1:]]) + "\n")
        assert script(node, "start_prim", "SECOND", "ALONE", "start").returncode == 0
    finally:
        kill_group(other)
    assert query(node, "select x from kept").stdout == "7\n"


def test_prestart_ends_a_database_that_is_not_ours(node: Node) -> None:
    script(node, "start_prim")
    assert script(node, "prestart", "STOP", "WAIT", "start").returncode == 0
    assert query(node, "select 1").returncode != 0


def test_start_without_a_database_stops_the_module_and_says_why(node: Node) -> None:
    done = script(node, "start_prim", PGDATA="/var/lib/postgresql/none")
    assert done.returncode == 1
    assert asked(node).splitlines() == [
        "printe there is no database in /var/lib/postgresql/none: create it, then start with prim",
        "stop -i start_prim",
    ]


def test_database_that_ends_while_it_starts_stops_the_module(node: Node) -> None:
    configuration = node.root / DATA.lstrip("/") / "postgresql.auto.conf"
    before = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")
    try:
        assert script(node, "start_prim").returncode == 1
    finally:
        configuration.write_text(before)
    assert "stop -i start_prim" in asked(node)
