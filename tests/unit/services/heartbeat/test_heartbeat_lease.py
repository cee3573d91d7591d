"""Orders resumed from the last life run out unless they are confirmed."""

from __future__ import annotations

from holdfast.ids import ModuleId

from services.heartbeat.lease import LEASE_NS, Lease

SHOP, GONE = ModuleId("shop"), ModuleId("gone")


def test_resumed_orders_run_out_unless_they_are_confirmed() -> None:
    """A module that was removed while this service was down is not announced for ever."""
    lease = Lease(modules=(SHOP, GONE), started_ns=7)
    lease.ordered(SHOP)
    assert lease.run_out(7 + LEASE_NS - 1) == frozenset()
    assert lease.run_out(7 + LEASE_NS) == {GONE}
    assert lease.run_out(7 + LEASE_NS + 1) == frozenset()


def test_orders_given_in_this_life_never_run_out() -> None:
    """An idle cluster gives no orders for days."""
    lease = Lease(modules=(), started_ns=0)
    lease.ordered(SHOP)
    assert lease.run_out(1000 * LEASE_NS) == frozenset()
