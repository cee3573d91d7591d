"""The client of the demonstration against a real PostgreSQL on one node, at an address that is moved by hand."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.demo import database
from holdfast.demo.customer import Customer
from holdfast.demo.record import Outcome, acks_of, judge, longest_gap
from holdfast.demo.session import LostError, Session
from holdfast.demo.writer import SCHEMA
from holdfast.lab.addressing import virtual_address
from holdfast.lab.lab import Lab

pytestmark = pytest.mark.root

ADDRESS = virtual_address().ip
START = (f"{database.PROGRAMS}/pg_ctl", "start", "-w", "-s", "-D", database.DATA, "-l", "/tmp/postgres.log")
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with PostgreSQL running on node1, at the virtual address."""
    if not Path(database.PROGRAMS, "postgres").exists():
        pytest.skip(f"PostgreSQL {database.VERSION} is not installed")
    with Lab.create(f"w{os.getpid()}", nodes=1) as made:
        node = made.node("node1")
        database.create(node)
        node.run(["install", "-d", "-o", "postgres", "/run/postgresql"])
        node.run(["ip", "addr", "add", str(virtual_address()), "dev", "lan1"])
        node.run([*AS_POSTGRES, *START])
        database.ask(made.client, ADDRESS, SCHEMA)
        yield made


@pytest.fixture
def customer(lab: Lab, tmp_path: Path) -> Iterator[Customer]:
    """A running client that has had twenty answers."""
    database.ask(lab.client, ADDRESS, "truncate demo")
    running = Customer.start(lab.client, ADDRESS, tmp_path)
    try:
        running.wait_for_acks(20)
        yield running
    finally:
        running.kill()


def test_acknowledged_rows_are_found(lab: Lab, customer: Customer) -> None:
    customer.stop()
    verdict = judge(customer.attempts(), database.rows(lab.client, ADDRESS))
    assert verdict.is_clean
    assert verdict.acked >= 20


def test_missing_row_is_noticed(lab: Lab, customer: Customer) -> None:
    database.ask(lab.client, ADDRESS, "delete from demo where row = 7")
    attempts = customer.attempts()
    assert judge(attempts, database.rows(lab.client, ADDRESS)).lost == (7,)


def test_server_that_dies_is_a_gap_and_nothing_acknowledged_is_lost(lab: Lab, customer: Customer) -> None:
    node = lab.node("node1")
    died_ns = time.monotonic_ns()
    node.run(["sh", "-c", f"kill -9 $(head -1 {database.DATA}/postmaster.pid)"])
    node.run(["sh", "-c", "while pgrep -x postgres > /dev/null; do sleep 0.05; done"])
    node.run([*AS_POSTGRES, *START])
    back_ns = time.monotonic_ns()
    customer.wait_for_acks(20, after_ns=back_ns)
    attempts = customer.attempts()
    gap = longest_gap(acks_of(attempts), since_ns=died_ns, until_ns=back_ns)
    assert gap is not None
    assert gap.to_ns > died_ns
    assert not judge(attempts, database.rows(lab.client, ADDRESS)).lost


def test_silent_server_is_given_up_and_found_again(lab: Lab, customer: Customer) -> None:
    node = lab.node("node1")
    node.pause()
    paused_ns = time.monotonic_ns()
    try:
        deadline = time.monotonic() + 10
        while all(attempt.outcome is Outcome.ACKED for attempt in customer.attempts()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        node.resume()
    customer.wait_for_acks(20, after_ns=time.monotonic_ns())
    gap = longest_gap(acks_of(customer.attempts()), since_ns=paused_ns, until_ns=paused_ns + 1)
    assert gap is not None
    assert not judge(customer.attempts(), database.rows(lab.client, ADDRESS)).lost


def test_session_says_what_the_server_refused(lab: Lab) -> None:
    probe = (
        "import sys; from holdfast.demo.session import *\n"
        "session = Session.connect(sys.argv[1])\n"
        "try: session.execute('select nonsense', timeout_s=5)\n"
        "except RefusedByServerError as error: print(error)\n"
        "print(session.execute('select 1; select 2', timeout_s=5)); session.close()\n"
    )
    done = lab.client.run([sys.executable, "-c", probe, database.conninfo(ADDRESS)])
    assert 'column "nonsense" does not exist' in done.stdout
    assert done.stdout.endswith("\n2\n")


def test_address_that_nobody_has_is_given_up_soon(lab: Lab) -> None:
    probe = (
        "import sys, time; from holdfast.demo.session import *\n"
        "began = time.monotonic()\n"
        "try: Session.connect(sys.argv[1])\n"
        "except LostError: print(time.monotonic() - began)\n"
    )
    done = lab.client.run([sys.executable, "-c", probe, database.conninfo(virtual_address(9).ip)])
    assert float(done.stdout) < 5


def test_closed_port_is_a_lost_connection() -> None:
    with pytest.raises(LostError):
        Session.connect("hostaddr=127.0.0.1 port=1 user=x dbname=x")
