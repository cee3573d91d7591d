"""Names of units, and what follows from what systemd says of them."""

from __future__ import annotations

import pytest
from holdfast.systemd.unit import UnitState, has_ended, unit_name

RUNS = UnitState(load="loaded", active="active", sub="running", invocation=b"1")


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("shopd", "shopd.service"),
        ("shopd.service", "shopd.service"),
        ("postgresql@15-main", "postgresql@15-main.service"),
        ("data.mount", "data.mount"),
        ("my.app", "my.app.service"),
        ("service", "service.service"),
    ],
)
def test_name_without_a_type_is_that_of_a_service(written: str, whole: str) -> None:
    assert unit_name(written) == whole


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"ActiveState": "failed", "SubState": "failed"}, True),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, True),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, True),
        ({"ActiveState": "reloading", "SubState": "reload"}, False),
        ({"SubState": "exited"}, False),
        ({"InvocationID": b"2"}, True),
        ({"InvocationID": b""}, False),
        ({"ActiveState": 7, "Other": "failed"}, False),
    ],
)
def test_unit_has_ended_when_it_does_not_run_or_runs_anew(changes: dict[str, object], ended: bool) -> None:
    assert has_ended(RUNS, RUNS.changed(changes)) is ended


def test_unit_that_did_not_run_cannot_end() -> None:
    before = RUNS.changed({"ActiveState": "activating", "SubState": "start"})
    assert not has_ended(before, RUNS.changed({"ActiveState": "failed"}))


def test_unit_on_its_way_is_told_from_one_that_is_started_again() -> None:
    assert RUNS.changed({"ActiveState": "activating", "SubState": "start-pre"}).is_starting
    assert not RUNS.changed({"ActiveState": "activating", "SubState": "auto-restart"}).is_starting


def test_unit_without_processes_runs_and_is_not_to_be_seen() -> None:
    assert RUNS.changed({"SubState": "exited"}).has_no_processes
    assert not RUNS.changed({"ActiveState": "inactive", "SubState": "exited"}).has_no_processes
