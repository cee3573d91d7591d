"""How long beats claim what a silent state machine once ordered."""

from __future__ import annotations

from holdfast.ids import ModuleId

from services.heartbeat.lease import LEASE_NS, Lease

SHOP = ModuleId("shop")


def test_an_order_stays_in_force_while_the_state_machine_answers() -> None:
    """An idle cluster gives no orders for days."""
    lease = Lease(modules=(), started_ns=0)
    lease.ordered(SHOP, 1)
    for at_ns in range(0, 20 * LEASE_NS, LEASE_NS // 2):
        lease.answered(at_ns)
        assert lease.judge(at_ns + 1) == []


def test_a_state_machine_that_falls_silent_loses_its_word_and_regains_it() -> None:
    """Its orders run out after the lease, and the first sign of life brings them back."""
    lease = Lease(modules=(), started_ns=0)
    lease.ordered(SHOP, 1)
    lease.answered(2)
    assert lease.judge(LEASE_NS) == []
    assert lease.judge(LEASE_NS + 3) == [(SHOP, False)]
    assert lease.judge(LEASE_NS + 4) == []
    lease.answered(LEASE_NS + 5)
    assert lease.judge(LEASE_NS + 6) == [(SHOP, True)]


def test_resumed_orders_run_out_unless_they_are_confirmed() -> None:
    """A module that was removed while this service was down is not announced for ever."""
    lease = Lease(modules=(SHOP, ModuleId("gone")), started_ns=0)
    lease.ordered(SHOP, 5)
    assert lease.judge(LEASE_NS + 1) == [(ModuleId("gone"), False)]


def test_a_state_machine_that_never_answered_is_trusted_by_its_orders() -> None:
    """Silence proves nothing about one that is not known to answer."""
    lease = Lease(modules=(), started_ns=0)
    lease.ordered(SHOP, 5)
    assert lease.judge(100 * LEASE_NS) == []
