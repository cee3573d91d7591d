"""When a service is started again, killed, or the node given up."""

from __future__ import annotations

import pytest

from services.supervisor import core
from services.supervisor.core import History
from services.supervisor.registry import SERVICES
from services.supervisor.unit import Run, Unit
from services.supervisor.wanted import parse


def after_short_runs(count: int) -> History:
    history = History()
    for _ in range(count):
        history = core.ended(core.started(history, now_s=0.0), ran_s=0.1, was_ready=True, now_s=0.1)
    return history


def test_the_first_death_is_answered_at_once_and_then_ever_later() -> None:
    delays = [core.restart_delay_s("vip", after_short_runs(count)) for count in range(1, 11)]
    assert delays[:4] == [0.0, 0.05, 0.1, 0.2]
    assert delays[-1] == core.READY_DELAY_S_MAX


def test_a_service_that_never_became_ready_waits_longest() -> None:
    history = History()
    for _ in range(12):
        history = core.ended(core.started(history, now_s=0.0), ran_s=0.1, was_ready=False, now_s=0.1)
    assert core.restart_delay_s("heartbeat", history) == core.RESTART_DELAY_S_MAX


def test_a_heartbeat_that_works_is_never_kept_waiting_for_long() -> None:
    assert core.restart_delay_s("heartbeat", after_short_runs(20)) == 0.05


def test_a_long_run_makes_the_next_restart_immediate_again() -> None:
    history = core.ended(after_short_runs(8), ran_s=core.STABLE_S, was_ready=True, now_s=60.0)
    assert core.restart_delay_s("vip", history) == 0.0


def test_only_the_state_machine_makes_a_node_give_up() -> None:
    history = History(failed_starts=core.FENCE_AFTER_FAILED_STARTS)
    assert core.must_fence("statemachine", history, now_s=0.0)
    assert not core.must_fence("vip", history, now_s=0.0)


def test_kills_of_a_working_state_machine_never_make_the_node_give_up() -> None:
    assert not core.must_fence("statemachine", after_short_runs(100), now_s=1.0)


def test_a_state_machine_that_is_away_too_long_makes_the_node_give_up() -> None:
    history = core.started(History(), now_s=10.0)
    assert not core.must_fence("statemachine", history, now_s=10.0 + core.FENCE_AFTER_UNREADY_S)
    assert core.must_fence("statemachine", history, now_s=10.1 + core.FENCE_AFTER_UNREADY_S)
    assert not core.must_fence("statemachine", core.became_ready(history), now_s=1000.0)


@pytest.mark.parametrize(
    ("name", "renewed_s", "ends_s"),
    [("vip", None, 5.0 + core.START_LEASE_S), ("vip", 6.0, 16.0), ("heartbeat", 6.0, 8.0), ("rfs@shop", 6.0, 16.0)],
)
def test_leases(name: str, renewed_s: float | None, ends_s: float) -> None:
    assert core.lease_ends_s(name, started_s=5.0, renewed_s=renewed_s) == ends_s


def test_time_in_which_the_supervisor_did_not_run_is_not_counted() -> None:
    unit = Unit(name="vip", run=Run(pid=1, started_s=0.0, renewed_s=1.0))
    unit.forgive(60.0)
    assert unit.lease_ends_s() == 61.0 + core.LEASE_S


def test_the_wanted_list_names_known_services_only() -> None:
    assert parse(b'{"services": ["rfs@shop", "checker-tcp", "rfs@../x", "nonsense"]}', SERVICES) == [
        "rfs@shop",
        "checker-tcp",
    ]


@pytest.mark.parametrize("text", [b"", b"[]", b'{"services": "rfs"}', b'{"services": [1]}'])
def test_a_wanted_list_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse(text, SERVICES)


def test_every_service_that_orders_name_can_be_started() -> None:
    for name in (
        "heartbeat",
        "statemachine",
        "scripts",
        "vip",
        "gateway",
        "rfs@shop",
        "checker-process",
        "checker-tcp",
    ):
        assert SERVICES.find(name) is not None, name
