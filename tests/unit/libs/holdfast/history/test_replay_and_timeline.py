"""Recorded decisions come out again, altered ones are named, and two journals make one timeline."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from holdfast.core.authority import AuthorityRecord
from holdfast.core.evolve import initial
from holdfast.core.settings import ModuleSettings
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerFound, PeerLost
from holdfast.events.module import Action, CommandRequested, ModuleOpened, ResourceReported, ScriptFinished, TimerFired
from holdfast.events.replication import ReplicationMode, ReplicationReported
from holdfast.events.state import Copy
from holdfast.history.decider import dump_state, load_state, step
from holdfast.history.replay import replay
from holdfast.history.timeline import entries, merged, notable, render
from holdfast.ids import Epoch, ModuleId, NodeId
from holdfast.journal.memory import MemoryJournal
from holdfast.journal.port import Journal, SnapshotKind, StateNoted
from holdfast.journal.sql import SqlJournal

MODULE = ModuleId("shop")
RESYNCING = ReplicationReported(
    mode=ReplicationMode.PRIMARY, epoch=Epoch(1), mounted=True, writable=True, connected=True, resyncing=True
)
SETTINGS = ModuleSettings(module=MODULE, node=NodeId("node1"), peer=NodeId("node2"), signature="abc")


def envelope(
    number: int, payload: object, *, node: str = "node1", wall_ms: int = 0, cause: str = ""
) -> Envelope[object]:
    return Envelope(
        id=f"{node}-{number}",
        module=MODULE,
        node=NodeId(node),
        source="test",
        at_wall_ns=(wall_ms or number) * 1_000_000,
        at_mono_ns=number * 1_000_000,
        hybrid=HybridTime(wall_ms=wall_ms or number, counter=0),
        cause=cause,
        trace="",
        payload=payload,
    )


def record_a_start(journal: Journal) -> None:
    """A node whose peer is lost starts and, as scripts report, becomes ALONE."""
    state = initial(SETTINGS, AuthorityRecord(copy=Copy.UP_TO_DATE))
    journal.save(dump_state(state), kind=SnapshotKind.OPENED, wall_ns=0)
    waiting: list[object] = [
        ModuleOpened(incarnation=1),
        PeerLost(reason="never", last_heard_mono_ns=0, silent_ms=1000.0, evidence=""),
        ResourceReported(resource="custom.web", value="up", by="test"),
        CommandRequested(action=Action.START, who="root"),
    ]
    number = 0
    while waiting:
        number += 1
        event = envelope(number, waiting.pop(0))
        decision = step(state, event)
        journal.append(event, decision=decision.digest, durable=False)
        state = decision.state
        if state.running is not None and not waiting:
            finished = ScriptFinished(
                run=state.running.run, script="x", exit_code=0, duration_ms=1.0, timed_out=False, log=""
            )
            waiting.append(finished)
    journal.save(dump_state(state), kind=SnapshotKind.SAVED, wall_ns=0)
    assert (state.role, state.status) == ("ALONE", "Ready")


def test_a_state_comes_back_from_its_snapshot_as_it_was() -> None:
    state = initial(SETTINGS, AuthorityRecord())
    for number, payload in enumerate(
        [
            ModuleOpened(incarnation=1),
            ResourceReported(resource="a.b", value="x", by="t"),
            CommandRequested(action=Action.START),
        ]
    ):
        state = step(state, envelope(number + 1, payload)).state
    assert load_state(dump_state(state)) == state
    assert dump_state(load_state(dump_state(state))) == dump_state(state)


def test_replay_makes_every_recorded_decision_again() -> None:
    journal = MemoryJournal()
    record_a_start(journal)
    report = replay(journal)
    assert report.is_same
    assert report.decisions == report.events == journal.last_sequence()
    assert [change.role for change in report.transitions][-1] == "ALONE"


def test_a_decision_that_does_not_follow_is_named() -> None:
    journal = MemoryJournal()
    record_a_start(journal)
    altered = MemoryJournal()
    for saved in journal.snapshots()[:1]:
        altered.save(saved.state, kind=saved.kind, wall_ns=0)
    for record in journal.read():
        decision = "another" if record.sequence == 3 else record.decision
        altered.append(record.envelope, decision=decision, durable=False)
    report = replay(altered)
    assert [difference.sequence for difference in report.differences] == [3]
    assert report.differences[0].event == "resource.reported"


def test_an_edited_journal_is_reported_at_the_event_where_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqlJournal(path)
    record_a_start(journal)
    journal.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET payload = replace(payload, 'up', 'down') WHERE sequence = 3")
    connection.commit()
    connection.close()
    reopened = SqlJournal(path, read_only=True)
    report = replay(reopened)
    reopened.close()
    assert report.broken_at == 3
    assert "event 3 (resource.reported" in report.broken
    assert report.events == 2
    assert not report.is_same


def test_an_event_in_two_journals_is_told_once() -> None:
    journal = MemoryJournal()
    record_a_start(journal)
    assert merged([entries(journal), entries(journal)]) == merged([entries(journal)])


def test_routine_and_repetitions_are_not_notable() -> None:
    journal = MemoryJournal()
    payloads = [TimerFired(), RESYNCING, replace(RESYNCING, sequence=5), PeerFound(incarnation=1)]
    for number, payload in enumerate(payloads):
        journal.append(envelope(number + 1, payload), decision="", durable=False)
    assert [entry.name for entry in notable(entries(journal))] == ["replication.reported", "peer.found"]


def test_two_journals_merge_by_hybrid_time_even_when_wall_clocks_differ() -> None:
    """node2's wall clock is an hour ahead; what it did because of node1 still stands behind its cause."""
    one, two = MemoryJournal(), MemoryJournal()
    hour_ms = 3_600_000
    one.append(envelope(1, ModuleOpened(incarnation=1), wall_ms=hour_ms + 10), decision="", durable=False)
    two_event = envelope(2, ModuleOpened(incarnation=1), node="node2", wall_ms=hour_ms + 11)
    two.append(two_event, decision="", durable=False)
    answer = envelope(3, CommandRequested(action=Action.STOP), wall_ms=5, cause="node1-1")
    one.append(replace(answer, hybrid=HybridTime(wall_ms=hour_ms + 11, counter=1)), decision="", durable=False)
    found = merged([entries(one), entries(two)])
    assert [entry.id for entry in found] == ["node1-1", "node2-2", "node1-3"]
    assert found[2].after_ms == 2.0
    lines = list(render(found))
    assert "command stop" in lines[2]
    assert lines[2].endswith("← module opened, incarnation 1 (+2.0 ms)")


def test_changes_of_state_stand_behind_the_event_that_led_to_them() -> None:
    journal = MemoryJournal()
    record_a_start(journal)
    for change in replay(journal).transitions:
        cause = next(record.envelope.id for record in journal.read() if record.sequence == change.sequence)
        noted = StateNoted(
            role=change.role,
            status=change.status,
            epoch=change.epoch,
            reason=change.reason,
            because="",
            wall_ns=change.wall_ns,
            cause=cause,
        )
        journal.project(noted)
    found = entries(journal)
    places = {entry.id: place for place, entry in enumerate(found)}
    changes = [entry for entry in found if entry.name == "state.changed"]
    assert changes
    assert all(places[entry.id] == places[entry.cause] + 1 for entry in changes)
