"""The firewall table as text."""

from __future__ import annotations

import json

from services.gateway.files.firewall import dropping_chains, opening_rules, table_text
from services.gateway.files.port_list import PortUse

USES = (
    PortUse(process="safeadmin", protocol="TCP", port=4800),
    PortUse(process="webconsole", protocol="TCP", port=9010),
    PortUse(process="heart", protocol="UDP", port=8888),
    PortUse(process="rfs", protocol="TCP", port=5600),
)


def test_table_lets_only_nodes_reach_the_ports_between_them() -> None:
    assert table_text(USES, ["10.0.0.1", "10.0.0.2", "fd00::1"]) == (
        "table inet holdfast {\n"
        "\tchain input {\n"
        "\t\ttype filter hook input priority -10; policy accept;\n"
        '\t\tiifname "lo" accept\n'
        "\t\tip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 4800, 5600 } accept\n"
        "\t\tip6 saddr { fd00::1 } tcp dport { 4800, 5600 } accept\n"
        "\t\ttcp dport { 4800, 5600 } counter drop\n"
        "\t\tip saddr { 10.0.0.1, 10.0.0.2 } udp dport { 8888 } accept\n"
        "\t\tip6 saddr { fd00::1 } udp dport { 8888 } accept\n"
        "\t\tudp dport { 8888 } counter drop\n"
        "\t}\n"
        "}\n"
    )


def test_rules_for_another_firewall_name_every_port_once() -> None:
    again = PortUse(process="farm", protocol="UDP", port=8888)
    assert opening_rules([*USES, again]) == (
        'tcp dport 4800 accept comment "holdfast safeadmin"\n'
        'tcp dport 5600 accept comment "holdfast rfs"\n'
        'tcp dport 9010 accept comment "holdfast webconsole"\n'
        'udp dport 8888 accept comment "holdfast farm heart"\n'
    )


def test_chains_that_drop_by_default_are_named_but_not_our_own() -> None:
    chains = [
        {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": "drop"},
        {"family": "inet", "table": "filter", "name": "output", "hook": "output", "policy": "drop"},
        {"family": "inet", "table": "holdfast", "name": "input", "hook": "input", "policy": "accept"},
        {"family": "ip", "table": "nat", "name": "helper"},
    ]
    listed = json.dumps({"nftables": [{"metainfo": {}}, *({"chain": chain} for chain in chains)]})
    assert dropping_chains(listed) == ("inet filter input",)
