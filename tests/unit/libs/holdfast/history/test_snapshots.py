"""Saved states of this and other versions, and what is done when none can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from holdfast.core.authority import AuthorityRecord
from holdfast.core.evolve import initial
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import State
from holdfast.errors import StorageError
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.module import Action, CommandRequested, ConfigurationApplied, ModuleOpened, ResourceReported
from holdfast.events.upcast import Body
from holdfast.history import snapshots
from holdfast.history.decider import first_state, step
from holdfast.history.replay import replay
from holdfast.history.snapshots import VERSION, dump_snapshot, load_snapshot, restored
from holdfast.ids import ModuleId, NodeId
from holdfast.journal.memory import MemoryJournal
from holdfast.journal.port import SnapshotKind

MODULE, NODE = ModuleId("shop"), NodeId("node1")
CLUSTER = """<cluster><lans><lan name="net">
<node name="node1" addr="127.0.0.1"/><node name="node2" addr="127.0.0.2"/></lan></lans></cluster>
"""
TEXT = """<safe><service mode="mirror"><heart><heartbeat name="net"/></heart><user/></service></safe>"""
APPLIED = ConfigurationApplied(signature="abc", text=TEXT, cluster_text=CLUSTER, number=1, key_file="")
RECORD = AuthorityRecord(incarnation=3)


def envelope(number: int, payload: object) -> Envelope[object]:
    return Envelope(
        id=f"node1-{number}",
        module=MODULE,
        node=NODE,
        source="test",
        at_wall_ns=number * 1_000_000,
        at_mono_ns=number * 1_000_000,
        hybrid=HybridTime(wall_ms=number, counter=0),
        cause="",
        trace="",
        payload=payload,
    )


def lived(journal: MemoryJournal, *, saved_as: Callable[[State], str] = dump_snapshot) -> State:
    """Open a module, apply its configuration, start it; a snapshot at the beginning and one in the middle."""
    state = first_state(APPLIED, RECORD, module=MODULE, node=NODE)
    journal.save(saved_as(state), kind=SnapshotKind.OPENED, wall_ns=0)
    events = [
        ModuleOpened(incarnation=4),
        APPLIED,
        ResourceReported(resource="custom.web", value="up", by="test"),
        CommandRequested(action=Action.START, who="root"),
    ]
    for number, payload in enumerate(events, start=1):
        decision = step(state, envelope(number, payload))
        journal.append(envelope(number, payload), decision=decision.digest, durable=False)
        state = decision.state
        if number == 3:
            journal.save(saved_as(state), kind=SnapshotKind.SAVED, wall_ns=0)
    return state


def renamed(state: State) -> str:
    """A shape in which the version before called the role something else."""
    body = json.loads(dump_snapshot(state))
    body["part"] = body.pop("role")
    return json.dumps({**body, "version": 1})


def role_again(body: Body) -> Body:
    body["role"] = body.pop("part")
    return body


def rubbish(_state: State) -> str:
    return '{"of": "another program"}'


def without_role(state: State) -> str:
    """A shape of which only the authority record is as ever."""
    return json.dumps({**json.loads(dump_snapshot(state)), "role": {"name": "WAIT"}})


def test_a_snapshot_says_its_version_and_comes_back_as_it_was() -> None:
    state = initial(ModuleSettings(module=MODULE, node=NODE, peer=NodeId("node2"), signature="abc"), RECORD)
    assert json.loads(dump_snapshot(state))["version"] == VERSION
    assert load_snapshot(dump_snapshot(state)) == state


def test_a_snapshot_without_a_version_is_of_the_first() -> None:
    state = first_state(APPLIED, RECORD, module=MODULE, node=NODE)
    body = json.loads(dump_snapshot(state))
    del body["version"]
    assert load_snapshot(json.dumps(body)) == state


def test_an_older_version_is_made_into_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "VERSION", 2)
    monkeypatch.setattr(snapshots, "STEPS", {("state", 1): role_again})
    journal = MemoryJournal()
    state = lived(journal, saved_as=renamed)
    found = restored(journal, module=MODULE, node=NODE)
    assert found is not None
    assert (found.state, found.trouble) == (state, "")
    assert replay(journal).differences == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "not a JSON object"),
        ("{", "cannot be read"),
        ('{"version": 0}', "version 0"),
        ('{"version": "one"}', "version 'one'"),
        (f'{{"version": {VERSION + 1}}}', "newer than this program"),
        ('{"of": "another program"}', "cannot be read"),
    ],
)
def test_what_is_no_snapshot_of_ours_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        load_snapshot(text)


def test_a_state_is_made_again_from_the_configuration_that_the_module_was_opened_with() -> None:
    journal = MemoryJournal()
    state = lived(journal, saved_as=without_role)
    found = restored(journal, module=MODULE, node=NODE)
    assert found is not None
    assert found.state == state
    assert "cannot be read" in found.trouble


def test_an_older_snapshot_of_the_same_life_is_better_than_none() -> None:
    journal = MemoryJournal()
    state = lived(journal)
    journal.save(rubbish(state), kind=SnapshotKind.SAVED, wall_ns=1)
    found = restored(journal, module=MODULE, node=NODE)
    assert found is not None
    assert found.state == state
    assert found.trouble


def test_a_snapshot_of_an_earlier_life_is_none_to_go_on_from() -> None:
    """What was before the module was opened anew does not lead to its state now."""
    journal = MemoryJournal()
    state = lived(journal)
    journal.save(rubbish(state), kind=SnapshotKind.OPENED, wall_ns=1)
    with pytest.raises(StorageError, match="cannot be made again from the journal"):
        restored(journal, module=MODULE, node=NODE)


def test_an_empty_journal_has_no_state() -> None:
    assert restored(MemoryJournal(), module=MODULE, node=NODE) is None


def test_a_replay_reports_snapshots_that_it_cannot_read_and_goes_on() -> None:
    journal = MemoryJournal()
    lived(journal, saved_as=without_role)
    report = replay(journal)
    assert report.decisions == report.events == 4
    assert [difference.what.partition(")")[2][:15] for difference in report.differences] == [" cannot be read"] * 2
    assert replace(report, differences=()).is_same
