"""The ruleset that cuts a lab's network."""

from __future__ import annotations

from holdfast.lab.addressing import LanName, NodeName, lan_names
from holdfast.lab.cuts import Cut, Direction, cuts_of, render

NODE = NodeName("node1")


def test_no_cut_is_an_empty_chain() -> None:
    assert render([]) == (
        "table bridge holdfast_lab {}\n"
        "delete table bridge holdfast_lab\n"
        "table bridge holdfast_lab {\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter; policy accept;\n"
        "  }\n"
        "}\n"
    )


def test_what_leaves_the_node_enters_the_switch() -> None:
    out = render([Cut(node=NODE, lan=LanName("lan2"), direction=Direction.OUT)])
    assert '    iifname "lan2-node1" counter drop\n' in out
    into = render([Cut(node=NODE, lan=LanName("lan2"), direction=Direction.IN)])
    assert '    oifname "lan2-node1" counter drop\n' in into


def test_both_means_each_direction_on_every_lan() -> None:
    cuts = cuts_of(NODE, lan_names(2), Direction.BOTH)
    assert len(cuts) == 4
    assert render(cuts).count("drop") == 4


def test_rules_do_not_depend_on_the_order_of_cuts() -> None:
    cuts = sorted(cuts_of(NODE, lan_names(2), Direction.BOTH))
    assert render(cuts) == render(reversed(cuts))
