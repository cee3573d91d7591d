"""The catalogue: names that are stable, well formed and say who is meant."""

from __future__ import annotations

import dataclasses
import inspect
import re

from holdfast.events import membership, module, replication
from holdfast.events.catalogue import BY_NAME, BY_PAYLOAD, EVENTS, ORDERS


def test_wire_names_are_two_words_that_fit_a_subject() -> None:
    wrong = [name for name in BY_NAME if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name)]
    assert wrong == []


def test_every_payload_is_frozen() -> None:
    wrong = [entry.name for entry in BY_NAME.values() if not entry.payload.__dataclass_params__.frozen]  # type: ignore[attr-defined]
    assert wrong == []


def test_every_event_says_who_hears_it_and_every_order_who_obeys_it() -> None:
    wrong = [entry.name for entry in EVENTS if not entry.heard_by or entry.obeyed_by]
    wrong += [entry.name for entry in ORDERS if not entry.obeyed_by or entry.heard_by]
    assert wrong == []


def test_orders_are_no_inputs_of_decisions() -> None:
    assert [entry.name for entry in ORDERS if entry.recorded] == []


def test_every_dataclass_of_the_vocabulary_is_reachable_from_the_catalogue() -> None:
    """A payload class that nobody listed would only fail when it is first published."""
    text = " ".join(str(field.type) for entry in BY_NAME.values() for field in dataclasses.fields(entry.payload))
    nested = {"HeartbeatLink", "ReplicatedDirectory", "ReplicationSettings", "Announcement"}
    wrong = [
        kind.__name__
        for part in (membership, module, replication)
        for _, kind in inspect.getmembers(part, dataclasses.is_dataclass)
        if kind not in BY_PAYLOAD and kind.__name__ not in nested and kind.__name__ not in text
    ]
    assert wrong == []
