"""Failover rules written by an operator, on real nodes: across the two of them, waiting, and what `rules` tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.mirror import MODULE, Mirror, mirror, userconfig

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

RULES = """<failover><![CDATA[
  // The side that sees the gate keeps the application.
  follow_gate: if (custom.gate == down && remote.custom.gate == up) then swap();
  no_road: if (custom.road == down) then wait();
]]><![CDATA[--Lua Rules
  Rules.disable("interface_failure")
]]></failover>
"""


def test_rules_of_an_operator_act_across_nodes_and_tell_what_they_see(tmp_path: Path) -> None:
    configuration = userconfig(watched=False).replace(" </service>", f"{RULES} </service>")
    with mirror("ruled", tmp_path, configuration=configuration) as cluster:
        primary_follows_what_the_other_node_sees(cluster)
        wait_rule_takes_the_role_away_until_it_is_over(cluster)
        wrong_rule_is_refused_with_its_place(cluster)


def told(cluster: Mirror, node: str, label: str) -> dict[str, object]:
    answer = json.loads(cluster.holdfast(node, "rules", "-m", MODULE, "--json").stdout)
    return next(rule for rule in answer["rules"] if rule["label"] == label)


def assign(cluster: Mirror, node: str, resource: str, value: str) -> None:
    cluster.holdfast(node, "set", "-m", MODULE, "-r", resource, "-v", value)


def primary_follows_what_the_other_node_sees(cluster: Mirror) -> None:
    assert told(cluster, "node1", "follow_gate")["acts"] == (
        "when custom.gate becomes down and remote.custom.gate becomes up"
    )
    assert told(cluster, "node1", "interface_failure")["acts"] == "disabled by the configuration"
    assign(cluster, "node2", "custom.gate", "up")
    cluster.wait_for(
        "node1 has heard of node2's gate",
        lambda: ["remote.custom.gate", "up"] in told(cluster, "node1", "follow_gate")["seen"],  # type: ignore[operator]
    )
    assign(cluster, "node1", "custom.gate", "down")
    cluster.wait_pair("node2")
    text = cluster.holdfast("node1", "timeline", "-m", MODULE, check=False).stdout
    assert "rule follow_gate: custom.gate is down" in text


def wait_rule_takes_the_role_away_until_it_is_over(cluster: Mirror) -> None:
    assign(cluster, "node2", "custom.gate", "up")
    assign(cluster, "node2", "custom.road", "down")
    cluster.wait_for(
        "node2 waits for its road",
        lambda: cluster.state("node2").get("waiting_for") == "rule no_road: custom.road is down",
    )
    cluster.wait_role("node1", "ALONE")
    assert told(cluster, "node2", "no_road")["acts"] == "now: it keeps the module in WAIT"
    assign(cluster, "node2", "custom.road", "up")
    cluster.wait_pair("node1")


def wrong_rule_is_refused_with_its_place(cluster: Mirror) -> None:
    path = cluster.node("node1").root / f"var/lib/holdfast/modules/{MODULE}/conf/userconfig.xml"
    written = path.read_text()
    path.write_text(written.replace("custom.road == down", "custom.road == dwon"))
    refused = cluster.holdfast("node1", "confcheck", "-m", MODULE, check=False)
    line, text = next((n, text) for n, text in enumerate(written.splitlines(), 1) if "no_road" in text)
    assert refused.returncode != 0
    assert (
        f":{line}:{text.index('down') + 1}: 'dwon' is no state; did you mean 'down'?" in refused.stdout + refused.stderr
    )
    path.write_text(written)
