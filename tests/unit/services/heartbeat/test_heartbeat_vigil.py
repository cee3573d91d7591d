"""When a process that beats is taken to hang, and which process is ended then."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from holdfast.testing.services import NodePlace

from services.heartbeat.memory import Memory
from services.heartbeat.sign import NEVER_NS, Reading, Sign, started_ticks
from services.heartbeat.vigil import (
    IDLE_NS,
    LATE_NS,
    LOOK_NS,
    LOOKS_HUNG,
    PATIENCE_NS_MIN,
    Judge,
    end_hanging,
    patience_ns,
)

BEGAN_NS = 1_000_000_000
PATIENCE_NS = 40_000_000


@pytest.fixture
def memory() -> Iterator[Memory]:
    place = NodePlace()
    yield Memory(place.run_dir)
    place.remove()


def reading(promise_ns: int) -> Reading:
    return Reading(pid=1, started=1, promise_ns=promise_ns, patience_ns=PATIENCE_NS)


def looks(promises_ns: list[int], *, began_ns: int = BEGAN_NS) -> list[bool]:
    """What a judge says at looks that come on time, 5 ms apart, one for each promise."""
    judge = Judge(began_ns)
    return [judge.look(began_ns + (place + 1) * LOOK_NS, reading(ns)) for place, ns in enumerate(promises_ns)]


def test_a_promise_that_stays_broken_is_a_hang() -> None:
    broken_ns = BEGAN_NS - PATIENCE_NS
    said = looks([broken_ns] * (LOOKS_HUNG + 1))
    assert said == [False] * LOOKS_HUNG + [True]


def test_a_promise_within_patience_is_no_hang() -> None:
    assert not any(looks([BEGAN_NS + LOOK_NS * 20 - PATIENCE_NS] * 20))


def test_a_new_promise_begins_the_count_anew() -> None:
    late_ns = BEGAN_NS - PATIENCE_NS
    assert not any(looks([late_ns, late_ns, late_ns, late_ns + 1, late_ns + 1, late_ns + 1, late_ns + 2]))


def test_nothing_promised_is_nothing_broken() -> None:
    assert not any(looks([NEVER_NS] * 50))


def test_a_judge_that_did_not_run_itself_begins_anew() -> None:
    """A whole node that was stopped goes on with everybody's promises broken."""
    judge = Judge(BEGAN_NS)
    broken = reading(BEGAN_NS - PATIENCE_NS - 1)
    for _ in range(10):
        for _ in range(LOOKS_HUNG - 1):
            assert not judge.look(judge.due_ns, broken)
        assert not judge.look(judge.due_ns + LATE_NS + 1, broken)


def test_it_looks_again_when_the_promise_would_be_broken() -> None:
    judge = Judge(BEGAN_NS)
    judge.look(BEGAN_NS, reading(BEGAN_NS + 20_000_000))
    assert judge.due_ns == BEGAN_NS + 20_000_000 + PATIENCE_NS
    judge.look(BEGAN_NS, reading(BEGAN_NS - 500_000_000))
    assert judge.due_ns == BEGAN_NS + LOOK_NS
    judge.look(BEGAN_NS, reading(BEGAN_NS + 1_000_000_000))
    assert judge.due_ns == BEGAN_NS + IDLE_NS


def test_patience_leaves_most_of_the_timeout_to_the_successor() -> None:
    assert patience_ns(500) == 125_000_000
    assert patience_ns(150) == 37_500_000
    assert patience_ns(15) == PATIENCE_NS_MIN


def test_the_sign_says_who_beats_and_what_it_promised_last(memory: Memory) -> None:
    written, read = Sign(memory), Sign(memory)
    assert read.read().promise_ns == NEVER_NS
    written.begin()
    written.promise(7, 3)
    assert read.read() == Reading(pid=os.getpid(), started=started_ticks(os.getpid()), promise_ns=7, patience_ns=3)
    written.begin()
    assert read.read().promise_ns == NEVER_NS


def test_only_the_process_that_gave_the_sign_is_ended() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        started = started_ticks(process.pid)
        end_hanging(Reading(pid=process.pid, started=started - 1, promise_ns=1, patience_ns=1))
        assert process.poll() is None
        os.kill(process.pid, signal.SIGSTOP)
        end_hanging(Reading(pid=process.pid, started=started, promise_ns=1, patience_ns=1))
        assert process.wait(10) == -signal.SIGKILL
    end_hanging(Reading(pid=process.pid, started=started, promise_ns=1, patience_ns=1))


def test_a_process_never_ends_itself() -> None:
    own = os.getpid()
    end_hanging(Reading(pid=own, started=started_ticks(own), promise_ns=1, patience_ns=1))
