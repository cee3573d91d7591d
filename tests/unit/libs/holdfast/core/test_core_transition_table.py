"""The table as a whole: nothing is undecided, everything has a reason, and the picture is fresh."""

from __future__ import annotations

from pathlib import Path

from holdfast.core import coverage
from holdfast.core.decide import EXECUTORS, Orders
from holdfast.core.document import render
from holdfast.core.row import Phase, Trigger
from holdfast.core.state import STOPPING, StepKind
from holdfast.core.transitions import ROWS
from holdfast.events.module import Action
from holdfast.events.state import Role

ROOT = Path(__file__).parents[5]


def test_every_role_and_trigger_is_decided_or_said_to_change_nothing() -> None:
    assert coverage.undecided() == []


def test_no_pair_is_both_decided_and_said_to_change_nothing() -> None:
    assert coverage.decided() & coverage.unmoved().keys() == set()


def test_every_pair_that_changes_nothing_says_why() -> None:
    assert [entry for entry in coverage.UNMOVED if len(entry.reason) < 10] == []


def test_every_role_is_reachable_from_stop() -> None:
    reached = {Role.STOP}
    for _ in Role:
        reached |= {row.to for row in ROWS if row.to is not None and row.roles & reached}
    assert reached == set(Role)


def test_every_role_can_get_back_to_stop() -> None:
    leading = {Role.STOP}
    for _ in Role:
        leading |= {role for row in ROWS if row.to in leading for role in row.roles}
    assert leading == set(Role)


def test_every_row_has_a_reason_that_is_a_sentence() -> None:
    assert [row.name for row in ROWS if len(row.reason.split()) < 4 and row.name != "stopped"] == []


def test_every_phase_and_trigger_is_used() -> None:
    assert {row.phase for row in ROWS} == set(Phase)
    used = {trigger for _, trigger in coverage.decided()}
    assert used == set(Trigger)


def test_every_order_has_an_executor() -> None:
    # A handler is ordered like a script, beside it.
    orders = {name for name in Orders.__dataclass_fields__ if name not in ("wake_at_mono_ns", "handle")}
    assert len(EXECUTORS) == len(orders)


def test_every_action_is_decided_in_every_role() -> None:
    from holdfast.core.commands import COMMANDS

    pairs = [(row.action, role) for row in COMMANDS for role in row.roles]
    assert sorted(pairs) == sorted((action, role) for action in Action for role in Role)


def test_stop_scripts_of_a_primary_come_before_its_addresses_are_released() -> None:
    for row in ROWS:
        kinds = [step.kind for step in row.steps]
        if StepKind.RELEASE in kinds and StepKind.SCRIPT in kinds:
            last_stop = max(i for i, step in enumerate(row.steps) if step.script.startswith("stop_"))
            assert last_stop < kinds.index(StepKind.RELEASE), row.name


def test_addresses_are_held_before_start_scripts() -> None:
    for row in ROWS:
        kinds = [step.kind for step in row.steps]
        starts = [i for i, step in enumerate(row.steps) if step.script.startswith("start_")]
        if StepKind.ADDRESSES in kinds:
            assert kinds.index(StepKind.ADDRESSES) < min(starts), row.name


def test_wishes_that_stop_give_scripts_the_models_action_words() -> None:
    assert {wish.value for wish in STOPPING} == {"stop", "stopstart", "stopwait"}


def test_generated_page_is_fresh() -> None:
    page = ROOT / "docs" / "state-machine.md"
    assert page.read_text(encoding="utf-8") == render(), "run: python -m holdfast.core.document"
