"""When a service gets a spare process, and what happens when its turn comes."""

from __future__ import annotations

from services.supervisor import core
from services.supervisor.unit import Run, Unit


def unit(*, ready: bool = True, waited: bool = False, spare: Run | None = None) -> Unit:
    run = Run(pid=1, started_s=0.0, ready=ready, waited=waited, renewed_s=0.0)
    return Unit(name="heartbeat", run=run, spare=spare, spare_wanted=True)


def test_a_spare_is_started_only_beside_a_process_that_has_its_turn() -> None:
    """Or the spare would take the turn first."""
    assert unit().lacks_spare()
    assert unit(ready=False, waited=True).lacks_spare()
    assert not unit(ready=False).lacks_spare()
    assert not Unit(name="heartbeat", spare_wanted=True).lacks_spare()


def test_no_spare_is_started_for_a_service_that_is_to_end() -> None:
    ending = unit()
    assert ending.run is not None
    ending.run.kill_at_s = 5.0
    assert not ending.lacks_spare()
    unwanted = unit()
    unwanted.wanted = False
    assert not unwanted.lacks_spare()


def test_a_missing_spare_is_due_when_its_delay_is_over() -> None:
    waiting = unit()
    waiting.spare_start_at_s = 0.5
    assert waiting.next_deadline_s() == 0.5


def test_a_spare_that_does_not_prepare_itself_is_due_to_end() -> None:
    hanging = unit(spare=Run(pid=2, started_s=3.0))
    assert hanging.spare_ends_s() == 3.0 + core.START_LEASE_S
    prepared = unit(spare=Run(pid=2, started_s=3.0, waited=True))
    assert prepared.spare_ends_s() is None


def test_a_promoted_spare_has_a_lease_and_counts_as_a_start() -> None:
    waiting = unit(spare=Run(pid=2, started_s=3.0, waited=True))
    waiting.run = None
    waiting.promote(100.0)
    assert waiting.run is not None
    assert waiting.run.pid == 2
    assert waiting.spare is None
    assert waiting.history.starts == 1
    assert waiting.lease_ends_s() == 100.0 + core.LEASES_S["heartbeat"]


def test_a_spare_that_went_on_before_the_supervisor_noticed_keeps_what_it_said() -> None:
    """It is faster than the news of the other process's end."""
    waiting = unit(spare=Run(pid=2, started_s=3.0, waited=True, ready=True, renewed_s=99.0))
    waiting.run = None
    waiting.promote(100.0)
    assert waiting.run is not None
    assert waiting.run.ready
    assert waiting.history.unready_since_s is None
    assert waiting.lease_ends_s() == 99.0 + core.LEASES_S["heartbeat"]


def test_each_process_of_a_service_is_known_by_its_number() -> None:
    both = unit(spare=Run(pid=2, started_s=3.0))
    assert both.process(1) is both.run
    assert both.process(2) is both.spare
    assert both.process(3) is None
