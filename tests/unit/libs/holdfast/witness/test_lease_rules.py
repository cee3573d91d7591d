"""Who gets the lease."""

from __future__ import annotations

import itertools

import pytest
from holdfast.witness.lease import Decision, Lease, Stand, decide


def told(lease: Lease, *stands: Stand) -> Decision:
    """The last decision of several, each on the lease that the one before left."""
    decision = Decision(lease=lease)
    for stand in stands:
        decision = decide(decision.lease, stand)
    return decision


def asks(node: str, epoch: int = 1, *, in_step: bool = True, replicated: bool = True) -> Stand:
    return Stand(node=node, epoch=epoch, in_step=in_step, wants=True, replicated=replicated)


def acts(node: str, epoch: int) -> Stand:
    return Stand(node=node, epoch=epoch, acting=True)


def rests(node: str, epoch: int = 1, *, in_step: bool = True) -> Stand:
    return Stand(node=node, epoch=epoch, in_step=in_step)


FREE = Lease(epoch=1)


def test_first_of_two_nodes_in_step_gets_the_lease_and_the_other_is_told_who_has_it() -> None:
    assert told(FREE, asks("a")).granted
    refused = told(FREE, asks("a"), asks("b"))
    assert not refused.granted
    assert "has let a act (epoch 2)" in refused.why


def test_who_has_the_lease_gets_it_again() -> None:
    assert told(FREE, asks("a"), asks("b"), asks("a")).granted


def test_lease_never_runs_out_however_often_the_other_node_asks() -> None:
    assert not told(FREE, asks("a"), *[asks("b")] * 50).granted


def test_node_that_joined_the_holder_may_take_over_from_it() -> None:
    joined = [asks("a"), acts("a", 2), rests("a", 2), asks("b", 2)]
    assert told(FREE, *joined).granted
    assert told(FREE, asks("a"), acts("a", 2), asks("b", 2)).granted, "though the holder did not say that it was joined"


def test_node_that_stood_still_while_the_other_acted_and_stopped_is_refused() -> None:
    late = told(FREE, asks("a"), acts("a", 2), rests("a", 2, in_step=False), asks("b", 1))
    assert not late.granted
    assert "newer data (epoch 2)" in late.why


def test_what_was_granted_and_not_used_is_given_back_so_that_both_can_get_it_again() -> None:
    before = told(FREE, asks("b"), rests("b"))
    assert before.lease == FREE
    for node in ("a", "b"):
        assert told(before.lease, asks(node)).granted


def test_node_that_acts_by_the_others_word_displaces_a_grant_that_was_given_up() -> None:
    displaced = told(FREE, asks("b"), acts("a", 2))
    assert displaced.lease == Lease(holder="a", epoch=2, acting=True)


def test_of_two_that_say_they_act_in_the_same_epoch_the_first_keeps_the_lease() -> None:
    assert told(FREE, acts("a", 2), acts("b", 2)).lease.holder == "a"


def test_late_word_of_an_older_epoch_changes_nothing() -> None:
    assert told(FREE, acts("a", 3), acts("b", 2)).lease == Lease(holder="a", epoch=3, acting=True)
    assert told(FREE, acts("a", 3), rests("b", 7)).lease == Lease(holder="a", epoch=3, acting=True)


def test_operators_word_is_taken_note_of() -> None:
    assert told(FREE, acts("a", 2), acts("b", 3)).lease.holder == "b"


def test_node_that_was_alone_before_starts_again_though_the_witness_missed_it() -> None:
    assert told(Lease(holder="b", epoch=3, acting=True), asks("a", 5, in_step=False)).granted
    assert not told(Lease(holder="b", epoch=5, acting=True), asks("a", 5, in_step=False)).granted


def test_without_data_a_free_lease_is_anybodys_and_a_held_one_is_not() -> None:
    assert told(Lease(epoch=9), asks("a", 1, in_step=False, replicated=False)).granted
    assert not told(FREE, acts("b", 9), asks("a", 1, in_step=False, replicated=False)).granted


@pytest.mark.parametrize("length", [3, 4])
def test_between_two_grants_to_different_nodes_somebody_gave_way(length: int) -> None:
    """Every sequence of words of two nodes in step at one epoch: one of them gets it, until that one gives it back."""
    words = [asks("a"), asks("b"), rests("a"), rests("b")]
    for sequence in itertools.product(words, repeat=length):
        lease, holder = FREE, ""
        for stand in sequence:
            decision = decide(lease, stand)
            if decision.granted:
                assert holder in ("", stand.node), sequence
                holder = stand.node
            elif not stand.wants and holder == stand.node:
                holder = ""
            lease = decision.lease
