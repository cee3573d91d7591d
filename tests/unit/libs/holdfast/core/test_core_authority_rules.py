"""Who may hold the data: tables of a rule's inputs with its answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import authority
from holdfast.core.authority import AuthorityRecord, Relation
from holdfast.core.peer import Peer, Presence
from holdfast.events.state import Announcement, Copy, Role, Status
from holdfast.ids import NO_SESSION, Epoch, Generation, NodeId, Session

ONE, TWO = NodeId("node1"), NodeId("node2")
G1, G2, G3 = Generation("g1"), Generation("g2"), Generation("g3")
S = Session("s")

RECORD = AuthorityRecord(epoch=Epoch(3), lineage=(G1,), role=Role.SECOND, copy=Copy.UP_TO_DATE, in_step_session=S)
SAID = Announcement(
    incarnation=1,
    number=1,
    role=Role.PRIM,
    status=Status.READY,
    epoch=Epoch(3),
    lineage=(G1,),
    durable_role=Role.PRIM,
    copy=Copy.UP_TO_DATE,
    in_step_session=S,
)
LOST = Peer(presence=Presence.LOST, said=SAID)
HEARD = Peer(presence=Presence.HEARD, said=SAID)


def heard(**changes: object) -> Peer:
    return Peer(presence=Presence.HEARD, said=replace(SAID, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "peer", "answer"),
    [
        ((G1,), (G1,), Relation.SAME),
        ((), (), Relation.SAME),
        ((G2, G1), (G1,), Relation.OWN_NEWER),
        ((G1,), (), Relation.OWN_NEWER),
        ((G1,), (G2, G1), Relation.PEER_NEWER),
        ((), (G1,), Relation.PEER_NEWER),
        ((G2, G1), (G3, G1), Relation.DIVERGED),
        ((G2,), (G3,), Relation.DIVERGED),
    ],
)
def test_copy_whose_newest_generation_the_other_descends_from_is_the_older(
    own: tuple[Generation, ...], peer: tuple[Generation, ...], answer: Relation
) -> None:
    assert authority.relation(own, peer) is answer


@pytest.mark.parametrize(
    ("record", "peer", "failover", "answer"),
    [
        (RECORD, LOST, True, True),
        (RECORD, LOST, False, False),
        (RECORD, HEARD, True, False),
        (RECORD, Peer(), True, False),
        (replace(RECORD, copy=Copy.RESYNCING, in_step_session=NO_SESSION), LOST, True, False),
        (replace(RECORD, copy=Copy.OUTDATED, in_step_session=NO_SESSION), LOST, True, False),
        (RECORD, heard(role=Role.WAIT, handover_session=S), True, True),
        (RECORD, heard(role=Role.WAIT, handover_session=S), False, False),
        (RECORD, heard(role=Role.WAIT, handover_session=S, request="swap"), False, True),
        (RECORD, heard(role=Role.WAIT), True, True),
        (RECORD, heard(role=Role.WAIT, in_step_session=NO_SESSION), True, False),
        (RECORD, Peer(presence=Presence.LOST, said=replace(SAID, lineage=(G2, G1))), True, False),
    ],
)
def test_secondary_promotes_only_in_step_with_a_primary_that_is_gone(
    record: AuthorityRecord, peer: Peer, failover: bool, answer: bool
) -> None:
    verdict = authority.may_promote(record, peer, failover=failover)
    assert verdict.yes is answer
    assert verdict.reason


@pytest.mark.parametrize(
    ("peer", "answer"),
    [
        (heard(role=Role.SECOND), False),
        (heard(role=Role.SECOND, renounced_session=S, in_step_session=NO_SESSION), True),
        (heard(role=Role.WAIT, in_step_session=S), False),
        (heard(role=Role.WAIT, in_step_session=NO_SESSION), True),
        (LOST, True),
        (Peer(), False),
        (Peer(presence=Presence.LOST, said=replace(SAID, lineage=(G2, G1))), False),
    ],
)
def test_primary_goes_on_alone_only_when_the_secondary_cannot_take_over(peer: Peer, answer: bool) -> None:
    record = replace(RECORD, role=Role.PRIM)
    assert authority.may_go_alone(record, peer, node=ONE, peer_node=TWO, replicated=True).yes is answer


ALONE = replace(RECORD, role=Role.ALONE, in_step_session=NO_SESSION)
WAITING = replace(SAID, role=Role.WAIT)


@pytest.mark.parametrize(
    ("record", "peer", "answer"),
    [
        (ALONE, Peer(), False),
        (ALONE, LOST, True),
        (RECORD, LOST, False),
        (AuthorityRecord(), LOST, False),
        (replace(ALONE, copy=Copy.OUTDATED), LOST, False),
        (ALONE, HEARD, False),
        (
            replace(RECORD, role=Role.PRIM),
            Peer(presence=Presence.HEARD, said=replace(WAITING, copy=Copy.OUTDATED)),
            True,
        ),
        (replace(RECORD, role=Role.PRIM), Peer(presence=Presence.HEARD, said=replace(SAID, role=Role.SECOND)), False),
        (replace(ALONE, lineage=(G2, G1)), Peer(presence=Presence.HEARD, said=WAITING), True),
        (ALONE, Peer(presence=Presence.HEARD, said=replace(WAITING, lineage=(G2, G1))), False),
        (ALONE, Peer(presence=Presence.LOST, said=replace(WAITING, lineage=(G2, G1))), False),
    ],
)
def test_starting_node_goes_alone_only_when_nobody_can_have_newer_data(
    record: AuthorityRecord, peer: Peer, answer: bool
) -> None:
    verdict = authority.may_start_alone(record, peer, node=ONE, peer_node=TWO, replicated=True)
    assert verdict.yes is answer
    assert verdict.reason


def test_without_replication_an_in_step_record_does_not_keep_a_node_waiting() -> None:
    assert authority.may_start_alone(RECORD, LOST, node=ONE, peer_node=TWO, replicated=False)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (RECORD, replace(WAITING, copy=Copy.OUTDATED)),
        (replace(RECORD, lineage=(G2, G1)), WAITING),
        (replace(RECORD, lineage=(G2, G1)), replace(WAITING, lineage=(G3, G1), took_over=True)),
        (replace(RECORD, role=Role.PRIM), replace(WAITING, durable_role=Role.SECOND)),
        (replace(RECORD, epoch=Epoch(4)), replace(WAITING, durable_role=Role.SECOND)),
    ],
)
def test_both_nodes_agree_on_who_wins(record: AuthorityRecord, said: Announcement) -> None:
    mirrored = replace(
        RECORD,
        epoch=said.epoch,
        lineage=said.lineage,
        took_over=said.took_over,
        role=said.durable_role,
        copy=said.copy,
    )
    other = replace(
        SAID,
        epoch=record.epoch,
        lineage=record.lineage,
        took_over=record.took_over,
        durable_role=record.role,
        copy=record.copy,
    )
    assert authority.who_wins(ONE, record, TWO, said).yes
    assert not authority.who_wins(TWO, mirrored, ONE, other).yes


def test_new_generation_begins_when_the_copies_may_part() -> None:
    record = authority.alone(RECORD, node=TWO, epoch_seen=Epoch(7), took_over=True, forced=False)
    assert record.epoch == 8
    assert record.lineage == ("node2.8.0", G1)
    assert record.took_over
    assert record.in_step_session == NO_SESSION


def test_node_that_was_alone_goes_on_in_its_generation_with_a_higher_epoch() -> None:
    record = authority.alone(ALONE, node=TWO, epoch_seen=Epoch(0), took_over=False, forced=False)
    assert record.lineage == (G1,)
    assert record.epoch == 4


def test_half_copied_tree_that_is_forced_has_no_ancestors() -> None:
    half = replace(ALONE, role=Role.SECOND, copy=Copy.RESYNCING)
    assert authority.alone(half, node=TWO, epoch_seen=Epoch(0), took_over=False, forced=True).lineage == ("node2.4.0",)


def test_lineage_is_bounded() -> None:
    record = RECORD
    for _ in range(100):
        record = replace(record, role=Role.SECOND)
        record = authority.alone(record, node=TWO, epoch_seen=Epoch(0), took_over=True, forced=False)
    assert len(record.lineage) == authority.LINEAGE_LENGTH_MAX
