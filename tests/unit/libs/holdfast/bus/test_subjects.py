"""Subjects: general to special, and one token per name."""

from __future__ import annotations

import pytest
from holdfast.bus import subjects
from holdfast.events.catalogue import BY_NAME
from holdfast.ids import ClusterId, ModuleId, NodeId

MAIN = ClusterId("main")


def test_subjects_go_from_general_to_special() -> None:
    shop, node = ModuleId("shop"), NodeId("node1")
    assert subjects.event(MAIN, shop, node, "peer.lost") == "holdfast.v1.main.event.shop.node1.peer-lost"
    assert subjects.order(MAIN, shop, "vip", "hold.addresses") == "holdfast.v1.main.order.shop.vip.hold-addresses"
    assert subjects.ask(MAIN, "statemachine", "alive") == "holdfast.v1.main.ask.statemachine.alive"


@pytest.mark.parametrize("name", BY_NAME)
def test_a_wire_name_is_one_token(name: str) -> None:
    """Its dot would split the subject, and a wildcard would not match it any more."""
    assert subjects.event(MAIN, "shop", "node1", name).count(".") == subjects.event(MAIN, "*", "*", "*").count(".")


def test_wire_names_stay_apart_as_tokens() -> None:
    """No two wire names become the same subject when dots become dashes."""
    tokens = {subjects.event(MAIN, "shop", "node1", name) for name in BY_NAME}
    assert len(tokens) == len(BY_NAME)
