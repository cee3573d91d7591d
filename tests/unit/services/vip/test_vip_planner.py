"""The planner of addresses: which operations lead from what is to what is wanted."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from holdfast.links.model import Address, Held, Interface, is_present
from hypothesis import given
from hypothesis import strategies as st

from services.vip.core import own_leftovers, plan
from services.vip.core.model import (
    AddAddress,
    Observed,
    Operation,
    Owned,
    Plan,
    RemoveAddress,
    ResetConnections,
    Route,
    SetRoute,
    Wanted,
)
from services.vip.core.planner import KERNEL_ROUTE

VIP = ip_address("10.1.0.50")
VIP6 = ip_address("fd00::50")


def held(text: str, *, ours: bool = False, usable: bool = True) -> Held:
    return Held(on_link=ip_interface(text), is_ours=ours, is_usable=usable)


def interface(index: int, name: str, *addresses: Held, up: bool = True) -> Interface:
    return Interface(index=index, name=name, is_up=up, hardware=bytes([2, 0, 0, 0, 0, index]), addresses=addresses)


ETH0 = interface(1, "eth0", held("10.1.0.1/24"), held("fd00::1/64"))
ETH1 = interface(2, "eth1", held("192.168.7.1/24"))
BARE = Observed(interfaces=(ETH0, ETH1))
CONNECTED = Route(
    destination=ip_network("10.1.0.0/24"),
    interface=1,
    is_ipv6=False,
    source=ip_address("10.1.0.1"),
    protocol=KERNEL_ROUTE,
    scope=253,
)
DEFAULT = Route(destination=None, interface=1, is_ipv6=False, gateway=ip_address("10.1.0.254"), protocol=3)


def carried_out(observed: Observed, operations: tuple[Operation, ...]) -> Observed:
    """What a kernel would look like after the operations."""
    for operation in operations:
        match operation:
            case AddAddress():
                new = held(f"{operation.address}/{operation.prefix}", ours=True)
                observed = changed(observed, operation.interface.name, lambda present, new=new: (*present, new))
            case RemoveAddress():
                gone = operation.address
                observed = changed(
                    observed,
                    operation.interface.name,
                    lambda present, gone=gone: tuple(each for each in present if each.on_link.ip != gone),
                )
                observed = replace(observed, routes=tuple(each for each in observed.routes if each.source != gone))
            case SetRoute():
                others = tuple(each for each in observed.routes if each.key != operation.route.key)
                observed = replace(observed, routes=(*others, operation.route))
            case _:
                pass
    return observed


def changed(observed: Observed, name: str, change) -> Observed:  # type: ignore[no-untyped-def]
    interfaces = tuple(
        replace(each, addresses=change(each.addresses)) if each.name == name else each for each in observed.interfaces
    )
    return replace(observed, interfaces=interfaces)


def kinds(made: Plan) -> list[str]:
    return [type(operation).__name__ for operation in made.operations]


def test_an_address_goes_to_the_interface_whose_network_holds_it() -> None:
    """With that network's prefix, announced, and remembered as ours."""
    made = plan([Wanted(address=VIP), Wanted(address=VIP6)], BARE)
    assert kinds(made) == ["AddAddress", "Announce", "ForgetNeighbour"] * 2
    assert made.owned == (
        Owned(address=VIP, prefix=24, interface="eth0"),
        Owned(address=VIP6, prefix=64, interface="eth0"),
    )


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Wanted(address=ip_address("172.16.0.9")), "no interface of this node is in its network"),
        (Wanted(address=VIP, interface="eth9"), "there is no interface eth9"),
    ],
)
def test_an_address_without_a_place_is_a_problem_in_words(wanted: Wanted, problem: str) -> None:
    """Nothing is done and the reason is told."""
    made = plan([wanted], BARE)
    assert made.operations == ()
    assert problem in made.problems[0]


def test_an_interface_that_is_down_holds_nothing() -> None:
    """An address there would answer nobody."""
    down = Observed(interfaces=(replace(ETH0, is_up=False),))
    assert "is down" in plan([Wanted(address=VIP)], down).problems[0]


def test_a_named_interface_needs_no_network() -> None:
    """Then the address stands for itself, or brings its own network and the route to it."""
    (add, *_) = plan([Wanted(address=ip_address("172.16.0.9"), interface="eth1")], BARE).operations
    assert isinstance(add, AddAddress)
    assert (add.interface.name, add.prefix, add.with_route) == ("eth1", 32, False)
    (add, *_) = plan([Wanted(address=ip_address("172.16.0.9"), interface="eth1", prefix=20)], BARE).operations
    assert isinstance(add, AddAddress)
    assert (add.prefix, add.with_route) == (20, True)


def test_letting_go_resets_connections_before_the_address_disappears() -> None:
    """A reset can only be sent while the address is there."""
    here = carried_out(BARE, plan([Wanted(address=VIP)], BARE).operations)
    owned = [Owned(address=VIP, prefix=24, interface="eth0")]
    made = plan([], here, owned=owned)
    assert [type(each) for each in made.operations] == [ResetConnections, RemoveAddress]
    assert made.owned == ()
    assert kinds(plan([], here, owned=owned, reset_connections=False)) == ["RemoveAddress"]


def test_addresses_of_others_are_never_touched() -> None:
    """Neither the node's own, nor one that an administrator added by hand and that is also wanted."""
    manual = changed(BARE, "eth0", lambda present: (*present, held("10.1.0.50/24")))
    made = plan([Wanted(address=VIP)], manual)
    assert made == Plan()
    assert plan([], manual) == Plan()
    assert plan([], BARE, owned=[Owned(address=VIP, prefix=24, interface="eth0")]).operations == ()


def test_what_a_killed_service_left_is_ours_by_record_or_by_the_kernel() -> None:
    """Either of the two suffices to let go of it."""
    unmarked = changed(BARE, "eth0", lambda present: (*present, held("10.1.0.50/24")))
    assert "RemoveAddress" in kinds(plan([], unmarked, owned=[Owned(address=VIP, prefix=24, interface="eth0")]))
    marked = changed(BARE, "eth0", lambda present: (*present, held("10.1.0.50/24", ours=True)))
    assert own_leftovers(marked) == (Owned(address=VIP, prefix=24, interface="eth0"),)


def test_an_address_of_ours_on_the_wrong_interface_moves() -> None:
    """First it appears where it is wanted."""
    wrong = changed(BARE, "eth1", lambda present: (*present, held("10.1.0.50/24", ours=True)))
    made = plan([Wanted(address=VIP)], wrong)
    assert kinds(made)[0] == "AddAddress"
    assert isinstance(made.operations[-1], RemoveAddress)
    assert made.operations[-1].interface.name == "eth1"


def test_an_ipv6_address_that_failed_detection_is_taken_again() -> None:
    """The kernel would leave it unusable for ever."""
    failed = changed(BARE, "eth0", lambda present: (*present, held("fd00::50/64", ours=True, usable=False)))
    assert not is_present(VIP6, failed.interfaces)
    assert kinds(plan([Wanted(address=VIP6)], failed))[:2] == ["RemoveAddress", "AddAddress"]


def test_one_side_makes_the_address_the_source_and_gives_it_back() -> None:
    """The network's own route and routes through its gateways carry it; others do not."""
    elsewhere = Route(destination=ip_network("192.168.7.0/24"), interface=2, is_ipv6=False, protocol=KERNEL_ROUTE)
    before = replace(BARE, routes=(CONNECTED, DEFAULT, elsewhere))
    taken = plan([Wanted(address=VIP, is_source=True)], before)
    here = carried_out(before, taken.operations)
    assert {route.source for route in here.routes if route.interface == 1} == {VIP}
    assert elsewhere in here.routes
    assert set(taken.routes) == {CONNECTED, DEFAULT}
    released = plan([], here, owned=taken.owned, former_routes=taken.routes)
    assert kinds(released) == ["SetRoute", "SetRoute", "ResetConnections", "RemoveAddress"]
    assert set(carried_out(here, released.operations).routes) == {CONNECTED, DEFAULT, elsewhere}


def test_without_a_record_the_routes_get_the_source_the_kernel_would_choose() -> None:
    """A lost record must not cost the node its routes."""
    before = replace(BARE, routes=(CONNECTED, DEFAULT))
    here = carried_out(before, plan([Wanted(address=VIP, is_source=True)], before).operations)
    released = plan([], here, owned=own_leftovers(here))
    assert set(carried_out(here, released.operations).routes) == {CONNECTED, DEFAULT}


def test_routes_that_went_with_a_removed_source_are_restored() -> None:
    """Somebody deletes the address, and the kernel with it the routes that prefer it."""
    before = replace(BARE, routes=(CONNECTED, DEFAULT))
    wanted = [Wanted(address=VIP, is_source=True)]
    taken = plan(wanted, before)
    gone = replace(BARE, routes=())
    repaired = plan(wanted, gone, owned=taken.owned, former_routes=taken.routes)
    assert {route.key for route in carried_out(gone, repaired.operations).routes} == {CONNECTED.key, DEFAULT.key}
    assert set(repaired.routes) == {CONNECTED, DEFAULT}


addresses: st.SearchStrategy[Address] = st.sampled_from(
    [*(ip_address(f"10.1.0.{last}") for last in (1, 50, 51)), ip_address("192.168.7.9"), VIP6, ip_address("fd00::51")]
)
wanted_lists = st.lists(
    st.builds(Wanted, address=addresses, is_source=st.booleans()), max_size=4, unique_by=lambda want: want.address
)


@given(wanted_lists, wanted_lists)
def test_a_plan_carried_out_leaves_nothing_to_do(first: list[Wanted], second: list[Wanted]) -> None:
    """From any earlier wish to any other, also when the first plan was carried out only in part."""
    before = replace(BARE, routes=(CONNECTED, DEFAULT))
    one = plan(first, before)
    for done in range(len(one.operations) + 1):
        partly = carried_out(before, one.operations[:done])
        two = plan(second, partly, owned=one.owned, former_routes=one.routes)
        after = carried_out(partly, two.operations)
        again = plan(second, after, owned=two.owned, former_routes=two.routes)
        assert again.operations == ()
        assert all(is_present(want.address, after.interfaces) for want in second)
        foreign = [each for face in after.interfaces for each in face.addresses if not each.is_ours]
        assert foreign == [each for face in BARE.interfaces for each in face.addresses]
