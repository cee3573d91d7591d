"""Checkers of a configuration: their typed values, and what is watched because of them and of virtual addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.config.jsonable import module_from_jsonable, to_jsonable
from holdfast.config.model import AddressCheck, CustomCheck, InterfaceCheck, ModuleConfig, PingCheck, Reaction
from holdfast.config.model import ScriptClass as Class
from holdfast.config.parse import parse_module
from holdfast.events.module import AddressWatch, CustomWatch, InterfaceWatch, PingWatch
from holdfast.history.watching import watched_addresses, watches_of

FILE = Path(__file__).parent / "corpus" / "module" / "valid" / "checkers.xml"


@pytest.fixture(scope="module")
def config() -> ModuleConfig:
    return parse_module(FILE.read_bytes(), FILE.name, {})


def test_pings_wait_by_default_before_the_module_runs_and_restart_what_runs(config: ModuleConfig) -> None:
    assert config.ping_checks == (
        PingCheck(
            ident="router",
            when=Class.PRE,
            reaction=Reaction.WAIT,
            address="10.1.0.254",
            interval_ms=2_000,
            timeout_ms=1_500,
        ),
        PingCheck(
            ident="peer",
            when=Class.PRIM,
            reaction=Reaction.RESTART,
            address="fd00::1",
            interval_ms=10_000,
            timeout_ms=5_000,
        ),
        PingCheck(
            ident="name",
            when=Class.SECOND,
            reaction=Reaction.NOACTION,
            address="gateway.example",
            interval_ms=3_000,
            timeout_ms=5_000,
        ),
    )


def test_interfaces_addresses_and_programs_arrive(config: ModuleConfig) -> None:
    assert config.interface_checks == (InterfaceCheck(ident="backup", address="10.3.0.1"),)
    assert config.address_checks == (
        AddressCheck(ident="service", when=Class.BOTH, address="10.3.0.1", interval_ms=20_000),
    )
    assert config.custom_checks == (
        CustomCheck(
            ident="disk",
            when=Class.PRE,
            reaction=Reaction.WAIT,
            program="check_disk.sh",
            arguments=("/data", "90"),
        ),
        CustomCheck(
            ident="queue", when=Class.PRIM, reaction=Reaction.NOACTION, program="/opt/shop/bin/queue", arguments=()
        ),
    )


def test_checkers_survive_the_journal(config: ModuleConfig) -> None:
    assert module_from_jsonable(to_jsonable(config)) == config


def test_interfaces_of_virtual_addresses_are_watched_always_and_the_addresses_where_they_are_held(
    config: ModuleConfig,
) -> None:
    watches = watches_of(config)
    assert watches.pre.interfaces == (
        InterfaceWatch(ident="backup", address="10.3.0.1"),
        InterfaceWatch(ident="eth1", interface="eth1", address="10.1.0.7"),
        InterfaceWatch(ident="10.2.0.7", address="10.2.0.7"),
    )
    assert watches.prim.addresses == (
        AddressWatch(ident="10.1.0.7", address="10.1.0.7"),
        AddressWatch(ident="10.2.0.7", address="10.2.0.7"),
    )
    assert watches.both.addresses == (AddressWatch(ident="service", address="10.3.0.1", interval_ms=20_000),)
    assert list(watched_addresses(config)) == ["10.3.0.1", "10.3.0.1"]


def test_watches_stand_in_their_classes_with_their_actions(config: ModuleConfig) -> None:
    watches = watches_of(config)
    assert watches.pre.ping == (PingWatch(ident="router", address="10.1.0.254", interval_ms=2_000, timeout_ms=1_500),)
    assert watches.pre.custom == (
        CustomWatch(
            ident="disk",
            program="check_disk.sh",
            arguments=("/data", "90"),
            environment=(("DEPTH", "3"),),
            action="wait",
        ),
    )
    assert [watch.resource for watch in watches.prim.checks] == [
        "tcp.web",
        "ping.peer",
        "ip.10.1.0.7",
        "ip.10.2.0.7",
        "custom.queue",
    ]
    assert watches.action_of("custom.disk") == "wait"
    assert watches.action_of("custom.unknown") == ""
    assert watches.pre_resources == {"ping.router", "intf.backup", "intf.eth1", "intf.10.2.0.7", "custom.disk"}


def test_waiting_for_what_nobody_watches_in_wait_is_warned_of() -> None:
    text = FILE.read_text().replace('when="pre" exec', 'when="prim" exec')
    (said,) = (warning for warning in parse_module(text.encode(), FILE.name, {}).warnings if "nobody looks" in warning)
    assert said.startswith('checkers.xml:25:77: action "wait" with when="prim"'), said
