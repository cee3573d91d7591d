"""Files of the corpus: every valid one gives its value, every invalid one its whole list of problems."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from holdfast.config.model import (
    Acknowledgement,
    AddressPlacement,
    BootPolicy,
    ClusterConfig,
    Heartbeat,
    InterfaceSettings,
    LanName,
    ModuleConfig,
    NamePattern,
    Reaction,
    ReplicatedDirectory,
    ScriptClass,
    ScriptLogging,
    TcpCheck,
    UserVariable,
    VirtualAddress,
    WatchedProcess,
)
from holdfast.errors import ConfigError, ExitCode

from tests.unit.libs.holdfast.config.corpus_files import CORPUS, expectation, files, name_of, parse

INVALID = files("invalid")
VALID = files("valid")
FILES_MIN = 60


@pytest.mark.parametrize("file", [*INVALID, *VALID], ids=name_of)
def test_file_gives_what_is_expected_of_it(file: Path) -> None:
    if file in INVALID:
        with pytest.raises(ConfigError) as caught:
            parse(file)
        found = "".join(f"{problem}\n" for problem in caught.value.problems)
        assert caught.value.exit_code is ExitCode.CONFIG_INVALID
    else:
        found = expectation(parse(file))
    expected = file.with_suffix(".expected")
    if os.environ.get("HOLDFAST_REWRITE"):
        expected.write_text(found)
    assert found == expected.read_text(), "HOLDFAST_REWRITE=1 writes the expectations anew"


def test_corpus_is_large_and_every_expectation_has_its_file() -> None:
    assert len([*INVALID, *VALID]) >= FILES_MIN
    expected = {file.with_suffix("") for file in CORPUS.glob("*/*/*.expected")}
    assert expected == {file.with_suffix("") for file in [*INVALID, *VALID]}


def module(name: str) -> ModuleConfig:
    config = parse(CORPUS / "module" / "valid" / name)
    assert isinstance(config, ModuleConfig)
    return config


def test_byte_order_mark_and_utf_16_say_the_same_as_plain_text() -> None:
    assert module("smallest.xml") == module("byte-order-mark.xml") == module("utf-16.xml")


def test_smallest_module_has_our_defaults() -> None:
    config = module("smallest.xml")
    assert config.heart.heartbeats == (
        Heartbeat(lan=LanName("default"), ident="default", pulse_ms=100, timeout_ms=1_000),
    )
    assert config.heart.flow.lan == "default"
    assert config.service.boot is BootPolicy.IGNORE
    assert (config.service.maxloop, config.service.loop_interval_s) == (3, 86_400)
    assert (config.replication, config.user, config.processes) == (None, None, ())
    assert config.warnings == ()


def test_module_as_published_keeps_its_explicit_values_and_old_units() -> None:
    config = module("postgresql-as-published.xml")
    assert (config.heart.pulse_ms, config.heart.timeout_ms) == (700, 30_000)
    assert config.service.loop_interval_s == 24 * 3600
    assert config.replication is not None
    assert config.replication.acknowledgement is Acknowledgement.SECOND
    assert config.replication.directories == (
        ReplicatedDirectory(
            path="/var/lib/postgresql",
            excluded_paths=("pg_log",),
            excluded_names=(NamePattern(pattern="^pg_stat_tmp$", inverted=False),),
        ),
    )
    assert [" ".join(warning.split(" ")[1:3]) for warning in config.warnings] == [
        "attribute 'permanent_arp'",
        "attribute 'mountover'",
        'acl="off" of',
    ]


def test_value_without_effect_is_warned_of_with_its_place_and_what_to_do() -> None:
    config = module("everything.xml")
    (said,) = (warning for warning in config.warnings if "nbremconn" in warning)
    assert said.startswith('everything.xml:25:44: nbremconn="4" of <rfs> has no effect: ')
    assert said.endswith("Leave it out.")
    assert config.replication is not None
    assert config.replication.connections == 4, "the value is still read and checked"


def test_every_attribute_of_the_service_arrives() -> None:
    service = module("everything.xml").service
    assert (service.boot, service.boot_delay_s, service.failover) == (BootPolicy.AUTO, 60, False)
    assert (service.defaultprim, service.maxloop, service.loop_interval_s) == ("node2", 5, 5_400)


def test_heartbeats_take_what_they_do_not_say_from_the_preset() -> None:
    heart = module("everything.xml").heart
    assert heart.port == 9001
    assert heart.heartbeats == (
        Heartbeat(lan=LanName("default"), ident="production", pulse_ms=250, timeout_ms=5_000),
        Heartbeat(lan=LanName("private"), ident="flow", pulse_ms=20, timeout_ms=150),
    )
    assert heart.flow.lan == "private"


def test_virtual_addresses_arrive_without_brackets_and_with_their_interface() -> None:
    config = module("everything.xml")
    interface = InterfaceSettings(name="eth1", check=False, arp_reroute=True, arp_interval_s=30, arp_elapse_s=600)
    assert config.tcp_reset is False
    assert config.virtual_addresses == (
        VirtualAddress(
            address="10.1.0.7",
            placement=AddressPlacement.ONE_SIDE,
            check=False,
            prefix_length=23,
            interface=interface,
        ),
        VirtualAddress(
            address="fd00::9",
            placement=AddressPlacement.ONE_SIDE_ALIAS,
            check=True,
            prefix_length=None,
            interface=interface,
        ),
    )


def test_every_attribute_of_the_replication_arrives() -> None:
    replication = module("everything.xml").replication
    assert replication is not None
    assert (replication.acl, replication.scripts, replication.connections) == (False, True, 4)
    assert (replication.resync_workers, replication.resync_packet_bytes) == (2, 1_048_576)
    assert replication.resync_bandwidth_kib_s == 5_000
    timeouts = (replication.send_timeout_s, replication.lock_timeout_s, replication.resync_timeout_s)
    assert timeouts == (10, 20, 60)
    assert replication.directories[0] == ReplicatedDirectory(
        path="/srv/two words/data",
        excluded_paths=("log/old",),
        excluded_names=(NamePattern(pattern=r"^[[:alpha:]_]+\.db$", inverted=True),),
        required_paths=("PG_VERSION", "/srv/mounted"),
    )


def test_every_attribute_of_the_user_tag_arrives() -> None:
    user = module("everything.xml").user
    assert user is not None
    assert (user.nice_stop_timeout_s, user.force_stop_timeout_s) == (3_600, 30)
    assert (user.logging, user.log_size_kib) == (ScriptLogging.NONE, 64)
    assert user.variables == (UserVariable(name="GREETING", value="café"),)


def test_watched_processes_arrive_with_units_handlers_and_counts() -> None:
    unit, worker, intruder = module("everything.xml").processes
    assert (unit.unit, unit.script_class, unit.reaction) == (True, ScriptClass.BOTH, Reaction.STOP)
    assert worker == WatchedProcess(
        name="worker",
        unit=False,
        name_regex="^work",
        argument_regex="--id [0-9]+",
        script_class=ScriptClass.SECOND,
        reaction=Reaction.HANDLER,
        handler="repair.sh",
        at_least=2,
        at_most=8,
        start_after_ms=3 * 2_000,
        poll_ms=2_000,
    )
    assert (intruder.at_least, intruder.at_most) == (-1, 0)


def test_tcp_checks_arrive_with_the_default_action_of_their_class() -> None:
    web, gate = module("everything.xml").tcp_checks
    assert web == TcpCheck(
        ident="web",
        when=ScriptClass.BOTH,
        reaction=Reaction.STOPSTART,
        address="localhost",
        port=80,
        interval_ms=1_500,
        timeout_ms=2_000,
    )
    assert (gate.reaction, gate.address) == (Reaction.WAIT, "fd00::1")


def test_cluster_arrives_whole() -> None:
    config = parse(CORPUS / "cluster" / "valid" / "two-nodes.xml")
    assert isinstance(config, ClusterConfig)
    assert (config.port, config.pulse_ms, config.mlost_count, config.slost_count) == (4900, 1_000, 30, 15)
    assert config.nodes == ("node1", "node2")
    assert config.command_lan.name == "private"
    lan = config.lan("default")
    assert lan is not None
    node = lan.node("node2")
    assert node is not None
    assert (node.address, node.local_address) == ("node2.example.com", "10.0.0.2")
    assert [node.address for node in config.command_lan.nodes] == ["fd00::1", "fd00::2"]


def test_first_lan_carries_commands_when_none_is_marked() -> None:
    config = parse(CORPUS / "cluster" / "valid" / "plain.xml")
    assert isinstance(config, ClusterConfig)
    assert config.command_lan.name == "default"
