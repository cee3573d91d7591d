"""What a configuration becomes for the decider: classes, handlers, limits, scripts or none."""

from __future__ import annotations

import pytest
from holdfast.core.settings import Handler, ModuleSettings
from holdfast.errors import ConfigError
from holdfast.events.module import ConfigurationApplied
from holdfast.history.translate import module_settings
from holdfast.ids import ModuleId, NodeId

CLUSTER = """<cluster><lans>
<lan name="lan1"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
</lans></cluster>"""


def settings(inside: str, **addresses: str) -> ModuleSettings:
    text = f'<safe><service mode="mirror"><heart><heartbeat name="lan1"/></heart>{inside}</service></safe>'
    applied = ConfigurationApplied(signature="", text=text, cluster_text=CLUSTER, addresses=addresses)
    return module_settings(applied, module=ModuleId("shop"), node=NodeId("node1"))


def vip(address: str) -> str:
    return (
        "<vip><interface_list><interface><real_interface>"
        f'<virtual_addr addr="{address}" where="one_side_alias"/></real_interface></interface></interface_list></vip>'
    )


def test_class_pre_is_kept_apart_from_both() -> None:
    watches = settings(
        '<user/><errd><proc name="a" class="pre"/><proc name="b" class="both"/></errd>'
        '<check><tcp ident="g" when="pre"><to addr="10.0.0.9" port="53"/></tcp></check>'
    ).watches
    assert [watch.name for watch in watches.pre.processes] == ["a"]
    assert [watch.name for watch in watches.both.processes] == ["b"]
    assert [(watch.ident, watch.action) for watch in watches.pre.tcp] == [("g", "wait")]
    assert watches.pre_resources == {"proc.a", "tcp.g"}


def test_handler_stands_before_the_stopstart_that_its_failure_leads_to() -> None:
    found = settings('<user/><errd polltimer="7s"><proc name="a" action="mend.sh"/></errd>')
    assert found.handlers == (Handler(resource="proc.a", script="mend.sh", again_after_ms=7_000),)
    assert found.watches.prim.processes[0].action == "stopstart"


def test_scripts_have_the_limits_of_the_user_tag_and_none_run_without_it() -> None:
    found = settings('<user nicestoptimeout="7s" forcestoptimeout="2m" logging="none"/>')
    assert (found.runs_scripts, found.nice_stop_timeout_ms, found.force_stop_timeout_ms) == (True, 7_000, 120_000)
    assert found.script_log_bytes_max == 0
    assert settings("<user/>").nice_stop_timeout_ms == settings("<user/>").force_stop_timeout_ms == 300_000
    assert settings("").runs_scripts is False


def test_virtual_address_may_be_a_name_but_not_that_of_a_node() -> None:
    assert settings(vip("shop.example"), **{"shop.example": "10.0.0.50"}).addresses[0].address == "10.0.0.50"
    with pytest.raises(ConfigError, match="the address of node 'node2'"):
        settings(vip("shop.example"), **{"shop.example": "10.0.0.2"})


def test_restart_services_reach_the_decider_as_scripts_are_told_them() -> None:
    proc = '<proc name="shop.service" service="yes" action="restart" restart_services="shop,mail"/>'
    (found,) = settings(f"<user/><errd>{proc}</errd>").targeted_restarts
    assert (found.resource, found.services) == ("proc.shop.service", "shop, mail")
