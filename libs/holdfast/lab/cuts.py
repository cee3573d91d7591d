"""Cuts of the network, and the nftables ruleset that makes them. Pure.

The ruleset is loaded into the switch, so that a cut node cannot notice it by looking at itself: its
interfaces stay up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from holdfast.lab.addressing import LanName, NodeName, port_name

TABLE: Final = "holdfast_lab"


class Direction(StrEnum):
    """Which packets are lost, seen from the node."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True, order=True)
class Cut:
    """The packets of one node on one lan, in one direction (in or out), are lost."""

    node: NodeName
    lan: LanName
    direction: Direction


def cuts_of(node: NodeName, lans: Iterable[LanName], direction: Direction) -> frozenset[Cut]:
    """The cuts that `direction` means on these lans; `both` is one in each direction."""
    match direction:
        case Direction.BOTH:
            directions = [Direction.IN, Direction.OUT]
        case Direction.IN | Direction.OUT:
            directions = [direction]
        case _:
            assert_never(direction)
    return frozenset(Cut(node=node, lan=lan, direction=way) for lan in lans for way in directions)


def render(cuts: Iterable[Cut]) -> str:
    """The whole ruleset, as one atomic transaction that replaces the one before."""
    rules = "".join(f"    {_rule(cut)}\n" for cut in sorted(cuts))
    return (
        f"table bridge {TABLE} {{}}\n"
        f"delete table bridge {TABLE}\n"
        f"table bridge {TABLE} {{\n"
        "  chain forward {\n"
        "    type filter hook forward priority filter; policy accept;\n"
        f"{rules}"
        "  }\n"
        "}\n"
    )


def _rule(cut: Cut) -> str:
    """What leaves the node enters the switch."""
    key = "iifname" if cut.direction is Direction.OUT else "oifname"
    return f'{key} "{port_name(cut.lan, cut.node)}" counter drop'
