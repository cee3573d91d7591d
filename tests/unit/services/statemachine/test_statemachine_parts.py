"""The pure parts of the state machine's shell, and the reserve for a full disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.core.authority import AuthorityRecord
from holdfast.core.decide import decide
from holdfast.core.evolve import initial
from holdfast.core.loop import LoopCounter
from holdfast.core.settings import ModuleSettings, WitnessSettings
from holdfast.core.state import Switches
from holdfast.errors import ConfigError, StorageError
from holdfast.events.catalogue import CHECKERS
from holdfast.events.module import ConfigurationApplied, WitnessKind, WitnessReported
from holdfast.events.replication import ReplicationMode, ReplicationReported, ResyncProgress
from holdfast.events.state import Role
from holdfast.history.translate import module_settings
from holdfast.ids import Epoch, ModuleId, NodeId

from services.statemachine.files import LifeMark
from services.statemachine.orders import addressed, changed, for_service
from services.statemachine.readmodel import module_model, waiting_for
from services.statemachine.reserve import Reserve
from services.statemachine.resources import differing, resources_of

MODULE = ModuleId("shop")
CLUSTER = """<cluster><lans>
<lan name="front"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="second.example"/></lan>
<lan name="back"><node name="node1" addr="10.1.0.1"/><node name="node2" addr="10.1.0.2"/></lan>
</lans></cluster>"""
CONFIGURATION = """<safe><service mode="mirror" maxloop="5" failover="off">
<heart pulse="50ms" timeout="500ms"><heartbeat name="front"/><heartbeat name="back" ident="flow"/></heart>
<rfs async="second"><replicated dir="/srv/shop"><notreplicated path="tmp"/></replicated></rfs>
<errd><proc name="httpd" class="prim" action="restart"/></errd>
<user><var name="COLOUR" value="blue"/></user></service></safe>"""


def applied(**changes: object) -> ConfigurationApplied:
    fields: dict[str, object] = {
        "signature": "abc",
        "text": CONFIGURATION,
        "cluster_text": CLUSTER,
        "number": 3,
        "addresses": {"second.example": "10.0.0.2"},
    }
    return ConfigurationApplied(**{**fields, **changes})  # type: ignore[arg-type]


def settings() -> ModuleSettings:
    return module_settings(applied(), module=MODULE, node=NodeId("node1"))


def test_a_configuration_becomes_the_deciders_settings() -> None:
    found = settings()
    assert (found.peer, found.maxloop, found.failover) == ("node2", 5, False)
    assert [(link.ident, link.local_address, link.peer_address) for link in found.heartbeat_links] == [
        ("front", "10.0.0.1", "10.0.0.2"),
        ("flow", "10.1.0.1", "10.1.0.2"),
    ]
    assert (found.heartbeat_port, found.heartbeat_timeout_ms, found.renounce_grace_ms) == (8890, 500, 150)
    assert found.replication is not None
    assert (found.replication.local_address, found.replication.port) == ("10.1.0.1", 5608)
    assert found.replication.settings.acknowledge_on_disk is False
    assert found.replication.settings.directories[0].excluded == ("tmp",)
    assert [watch.name for watch in found.watches.prim.processes] == ["httpd"]
    assert dict(found.script_environment) == {"COLOUR": "blue"}


def test_a_name_that_was_not_looked_up_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"second\.example"):
        module_settings(applied(addresses={}), module=MODULE, node=NodeId("node1"))


def test_a_node_outside_the_cluster_is_an_error() -> None:
    with pytest.raises(ConfigError, match="node9"):
        module_settings(applied(), module=MODULE, node=NodeId("node9"))


def test_every_order_has_its_service_and_the_announcement_comes_last() -> None:
    state = initial(settings(), AuthorityRecord())
    orders = addressed(state, decide(state))
    assert list(orders) == [
        ("rfs@shop", "replicate.directories"),
        ("vip", "hold.addresses"),
        *((checker, "watch.resources") for checker in CHECKERS),
        ("heartbeat", "announce.state"),
    ]
    assert changed(orders, orders) == {}
    assert changed({}, orders) == orders
    assert list(for_service(orders, "vip")) == [("vip", "hold.addresses")]


def test_the_read_model_says_what_a_module_is_and_waits_for() -> None:
    state = initial(settings(), AuthorityRecord())
    model = module_model(state, [], edited=True, last=None)
    assert (model["role"], model["status"], model["copy"]) == ("STOP", "NotReady", "unknown")
    assert model["configuration"] == {"signature": "abc", "edited": True, "same_as_peer": True}
    assert waiting_for(state) == ""


def test_a_secondary_that_asks_the_witness_waits_for_its_word() -> None:
    third = WitnessSettings(ident="third", kind=WitnessKind.PING, targets=("10.0.0.254",))
    asks = replace(settings(), witness=third)
    state = replace(initial(asks, AuthorityRecord()), role=Role.SECOND)
    assert waiting_for(state) == "resynchronisation"
    state = replace(state, question="1.1")
    assert waiting_for(state) == "the word of the witness: the witness has not answered yet"
    refused = WitnessReported(ident="third", reachable=True, question="1.1", granted=False, why="it hears the peer")
    assert waiting_for(replace(state, witness=refused)) == "the word of the witness: it hears the peer"


def test_resources_follow_from_the_state() -> None:
    state = initial(settings(), AuthorityRecord())
    found = resources_of(state)
    assert found["rfs.uptodate"][0] == "down"
    assert found["state.local"][0] == "STOP NotReady"
    assert found["state.remote"][0] == "UNKNOWN"
    assert differing(found, found) == {}


def test_switches_and_loop_protection_are_resources() -> None:
    state = initial(settings(), AuthorityRecord())
    state = replace(
        state,
        switches=Switches(failover=False),
        loop=LoopCounter(taken_at_mono_ns=(5, 6)),
        stopped_by_maxloop=True,
    )
    found = {name: value for name, (value, _by) in resources_of(state, loop_since_s=1_700_000_000).items()}
    assert (found["usersetting.failover"], found["usersetting.checker"], found["usersetting.errd"]) == (
        "off",
        "on",
        "on",
    )
    assert (found["heart.maxloop"], found["heart.loopcount"]) == ("true", "2")
    assert found["heart.stopstartloop"] == "1700000000"


def test_progress_of_a_resync_is_shown_with_percent() -> None:
    progress = ResyncProgress(files_done=3, files_total=4, bytes_done=5_000, bytes_total=20_000, kind="compare")
    report = ReplicationReported(
        mode=ReplicationMode.PRIMARY,
        epoch=Epoch(1),
        mounted=True,
        writable=True,
        connected=True,
        progress=progress,
        metrics={"rep_bandwidth": 12.5},
    )
    found = resources_of(replace(initial(settings(), AuthorityRecord()), replication=report))
    assert found["rfs.rei_copy_count_metric"] == ("3 (75%)", "rfs")
    assert found["rfs.rei_copy_size_metric"] == ("5 (25%)", "rfs")
    assert found["rfs.rei_scan_count_metric"] == ("4", "rfs")
    assert found["rfs.rep_bandwidth"] == ("12.5", "rfs")


def test_every_rule_in_force_is_a_resource() -> None:
    state = initial(settings(), AuthorityRecord())
    labels = {rule.label for rule in state.settings.rules.rules if rule.is_in_force}
    found = resources_of(state)
    assert labels
    assert {found[f"rule.{label}"][0] for label in labels} <= {"active", "inactive"}


def test_a_life_of_the_node_is_remembered_over_a_restart_and_not_over_another_life(tmp_path: Path) -> None:
    LifeMark(tmp_path, "first").begun(MODULE)
    assert LifeMark(tmp_path, "first").has_begun(MODULE)
    assert not LifeMark(tmp_path, "second").has_begun(MODULE)
    (tmp_path / "statemachine.json").write_text("rubbish")
    assert not LifeMark(tmp_path, "first").has_begun(MODULE)


def test_a_full_disk_costs_the_reserve_first(tmp_path: Path) -> None:
    """The write is done again once room has been made; without a reserve its error stands."""
    reserve = Reserve(tmp_path)
    reserve.fill()
    assert (tmp_path / "reserve").stat().st_size > 0

    def write() -> str:
        if (tmp_path / "reserve").exists():
            raise StorageError("disk is full")
        return "written"

    def never() -> str:
        raise StorageError("disk is broken")

    assert reserve.has_room
    assert reserve.spend(write) == "written"
    assert not reserve.has_room
    with pytest.raises(StorageError, match="broken"):
        reserve.spend(never)
