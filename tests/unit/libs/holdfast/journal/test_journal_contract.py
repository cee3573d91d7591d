"""What every journal promises, on the file and on the fake."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from holdfast.errors import StorageError
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.module import Action, CommandRequested, ResourceReported, TimerFired
from holdfast.ids import ModuleId, NodeId
from holdfast.journal.memory import MemoryJournal
from holdfast.journal.port import (
    CommandNoted,
    Journal,
    JournalBrokenError,
    ResourceAssigned,
    Retention,
    SnapshotKind,
    StateNoted,
)
from holdfast.journal.sql import SqlJournal

NS_PER_S = 1_000_000_000


def event(number: int, payload: object | None = None) -> Envelope[object]:
    return Envelope(
        id=f"node1-{number}",
        module=ModuleId("shop"),
        node=NodeId("node1"),
        source="test",
        at_wall_ns=number * NS_PER_S,
        at_mono_ns=number,
        hybrid=HybridTime(wall_ms=number * 1000, counter=0),
        cause="",
        trace="",
        payload=TimerFired() if payload is None else payload,
    )


def fill(journal: Journal, count: int) -> None:
    for number in range(1, count + 1):
        journal.append(event(number), decision=f"d{number}", durable=False)


def file_journal(directory: Path) -> SqlJournal:
    return SqlJournal(directory / "journal.db")


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = MemoryJournal() if request.param == "memory" else file_journal(tmp_path)
    yield made
    made.close()


def test_events_come_back_in_order_as_they_were(journal: Journal) -> None:
    sent = [event(1), event(2, CommandRequested(action=Action.START, who="root")), event(3)]
    for number, envelope in enumerate(sent):
        assert journal.append(envelope, decision=f"d{number}", durable=number == 1) == number + 1
    read = list(journal.read())
    assert [record.envelope for record in read] == sent
    assert [record.decision for record in read] == ["d0", "d1", "d2"]
    assert [record.sequence for record in journal.read(after=1)] == [2, 3]
    assert [record.sequence for record in journal.read(since_wall_ns=3 * NS_PER_S)] == [3]
    assert journal.verify() == 3


def test_the_newest_snapshot_is_found(journal: Journal) -> None:
    assert journal.snapshot() is None
    fill(journal, 2)
    journal.save("two", kind=SnapshotKind.OPENED, wall_ns=1)
    journal.append(event(3), decision="", durable=False)
    journal.save("three", kind=SnapshotKind.SAVED, wall_ns=2)
    newest, earlier = journal.snapshot(), journal.snapshot(before=2)
    assert newest is not None
    assert earlier is not None
    assert (newest.sequence, newest.state, newest.kind) == (3, "three", SnapshotKind.SAVED)
    assert (earlier.sequence, earlier.state) == (2, "two")
    assert [saved.state for saved in journal.snapshots()] == ["two", "three"]


def test_old_events_go_only_up_to_a_snapshot_and_the_chain_still_holds(journal: Journal) -> None:
    fill(journal, 4)
    retention = Retention(rows_max=2)
    assert journal.retain(retention, now_wall_ns=5 * NS_PER_S) == 0
    journal.save("at four", kind=SnapshotKind.SAVED, wall_ns=4)
    for number in range(5, 8):
        journal.append(event(number), decision="", durable=False)
    assert journal.retain(retention, now_wall_ns=8 * NS_PER_S) == 4
    assert [record.sequence for record in journal.read()] == [5, 6, 7]
    assert journal.verify() == 3
    saved = journal.snapshot()
    assert saved is not None
    assert saved.state == "at four"


def test_events_that_are_too_old_go(journal: Journal) -> None:
    fill(journal, 3)
    journal.save("at three", kind=SnapshotKind.SAVED, wall_ns=3)
    journal.append(event(1000), decision="", durable=False)
    assert journal.retain(Retention(age_s_max=100), now_wall_ns=1000 * NS_PER_S) == 3


def test_resources_have_a_present_value_and_a_history_of_changes(journal: Journal) -> None:
    for at, value in enumerate(["up", "up", "down"]):
        row = ResourceAssigned(resource="tcp.web", value=value, by="checker-tcp", wall_ns=at, cause=f"e{at}")
        journal.project(row)
    [present] = journal.resources()
    assert (present.value, present.wall_ns, present.cause) == ("down", 2, "e2")
    assert [item.value for item in journal.resource_history("tcp.web")] == ["down", "up"]
    assert journal.resource_history("tcp.other") == []


def test_states_and_commands_are_listed_newest_first(journal: Journal) -> None:
    for at, role in enumerate(["WAIT", "ALONE"]):
        noted = StateNoted(role=role, status="Ready", epoch=at, reason="why", because="e", wall_ns=at, cause="e")
        journal.project(noted)
    command = CommandNoted(action="swap", argument="", who="root", accepted=False, reason="no", wall_ns=3, cause="e3")
    journal.project(command)
    assert [noted.role for noted in journal.states()] == ["ALONE", "WAIT"]
    assert list(journal.commands(limit=1)) == [command]


def test_a_reopened_file_goes_on_in_the_same_chain(tmp_path: Path) -> None:
    first = file_journal(tmp_path)
    fill(first, 3)
    first.close()
    second = file_journal(tmp_path)
    assert second.append(event(4), decision="", durable=True) == 4
    assert second.verify() == 4
    second.close()


def test_a_reopened_file_knows_which_values_its_history_ends_with(tmp_path: Path) -> None:
    """The same value as before is an assignment and no change, also in another life of the process."""
    for at, value in enumerate(["up", "up", "down", "up"]):
        journal = file_journal(tmp_path)
        journal.project(ResourceAssigned(resource="tcp.web", value=value, by="checker-tcp", wall_ns=at, cause=f"e{at}"))
        journal.close()
    last = file_journal(tmp_path)
    assert [item.value for item in last.resource_history("tcp.web")] == ["up", "down", "up"]
    assert [(item.value, item.wall_ns) for item in last.resources()] == [("up", 3)]
    last.close()


def test_values_that_change_twice_in_one_commit_both_enter_the_history(journal: Journal) -> None:
    for at, value in enumerate(["up", "down", "up"]):
        journal.project(ResourceAssigned(resource="tcp.web", value=value, by="checker-tcp", wall_ns=at, cause=f"e{at}"))
    journal.flush()
    assert [item.value for item in journal.resource_history("tcp.web")] == ["up", "down", "up"]
    assert [item.value for item in journal.resources()] == ["up"]


def test_a_crash_of_the_process_loses_no_durable_event(tmp_path: Path) -> None:
    """Another connection sees what was appended durably, and not what still waits in memory."""
    writer = file_journal(tmp_path)
    writer.append(event(1), decision="", durable=True)
    writer.append(event(2), decision="", durable=False)
    reader = SqlJournal(tmp_path / "journal.db", read_only=True)
    assert [record.sequence for record in reader.read()] == [1]
    reader.close()
    writer.close()


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "sequence", "words"),
    [
        ("UPDATE events SET decision = 'x' WHERE sequence = 3", 3, "event 3 (timer.fired, node1-3) is not what was"),
        ("UPDATE events SET wall_ns = wall_ns + 1 WHERE sequence = 2", 2, "event 2"),
        ("DELETE FROM events WHERE sequence = 4", 4, "event 4 is missing"),
        ("DELETE FROM events WHERE sequence > 3", 4, "ends with event 3, but 5 were recorded"),
        ("UPDATE events SET payload = '{\"nonsense\"' WHERE sequence = 1", 1, "event 1 (timer.fired) cannot be read"),
    ],
)
def test_an_altered_journal_is_broken_at_that_event(tmp_path: Path, statement: str, sequence: int, words: str) -> None:
    journal = file_journal(tmp_path)
    fill(journal, 5)
    journal.close()
    tamper(tmp_path / "journal.db", statement)
    reopened = file_journal(tmp_path)
    with pytest.raises(JournalBrokenError) as caught:
        reopened.verify()
    reopened.close()
    assert caught.value.sequence == sequence
    assert words in str(caught.value)


@pytest.mark.parametrize("damage", [b"this is no database, but it is long enough to be read as one" * 20, b"x"])
def test_a_file_that_is_no_journal_is_refused_with_its_name(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "journal.db").write_bytes(damage)
    with pytest.raises(StorageError, match=r"journal\.db"):
        file_journal(tmp_path)


def test_a_truncated_file_is_refused_or_broken(tmp_path: Path) -> None:
    journal = file_journal(tmp_path)
    for number in range(1, 300):
        text = "x" * 200
        payload = ResourceReported(resource="custom.text", value=text, by="test")
        journal.append(event(number, payload), decision="", durable=False)
    journal.close()
    path = tmp_path / "journal.db"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)

    def use(open_journal: Callable[[Path], SqlJournal]) -> None:
        reopened = open_journal(tmp_path)
        try:
            reopened.verify()
        finally:
            reopened.close()

    with pytest.raises(StorageError, match=r"journal\.db"):
        use(file_journal)
