"""Sync marks: who may act by them, and who has to wait because of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from holdfast.core import authority, syncmark
from holdfast.core.authority import AuthorityRecord
from holdfast.core.peer import Peer, Presence
from holdfast.core.settings import WitnessSettings
from holdfast.core.state import State
from holdfast.events.module import WitnessKind
from holdfast.events.state import Announcement, Copy, Role, Status
from holdfast.ids import NO_SESSION, Epoch, Generation, NodeId, Session
from holdfast.testing.world import Variant, settings_of

ONE, TWO = NodeId("node1"), NodeId("node2")
G1, G2, G3 = Generation("g1"), Generation("g2"), Generation("g3")
S = Session("s")
DELTA_MS = 300_000
NOW_MS = 1_800_000_000_000
IN_STEP = AuthorityRecord(
    epoch=Epoch(3),
    lineage=(G1,),
    role=Role.SECOND,
    copy=Copy.UP_TO_DATE,
    in_step_session=S,
    synced_ms=NOW_MS - 60_000,
    offered_ms=NOW_MS - 60_000,
)
OUTDATED = replace(IN_STEP, copy=Copy.OUTDATED, in_step_session=NO_SESSION)
ALONE = replace(IN_STEP, role=Role.ALONE, in_step_session=NO_SESSION, lineage=(G2, G1))
NEVER_HEARD = Peer(presence=Presence.LOST)
SAID = Announcement(
    incarnation=1, number=1, role=Role.PRIM, status=Status.READY, epoch=Epoch(3), lineage=(G1,), copy=Copy.UP_TO_DATE
)


def state_with(record: AuthorityRecord, *, now_ms: int = NOW_MS, role: Role = Role.WAIT) -> State:
    settings = settings_of(0, Variant(sync_delta_ms=DELTA_MS))
    return State(settings=settings, authority=record, role=role, now_wall_ns=now_ms * 1_000_000, peer=NEVER_HEARD)


@pytest.mark.parametrize(
    ("later_ms", "answer"),
    [(0, True), (DELTA_MS - 60_000, True), (DELTA_MS, False), (-120_000, False)],
    ids=["a minute", "exactly the interval", "too old", "clock set back"],
)
def test_mark_counts_while_it_is_younger_than_the_interval(later_ms: int, answer: bool) -> None:
    assert syncmark.is_recent(state_with(IN_STEP, now_ms=NOW_MS + later_ms)) is answer


def test_nobody_acts_by_a_mark_with_failover_off_or_without_syncdelta() -> None:
    state = state_with(IN_STEP)
    assert not syncmark.is_recent(replace(state, switches=replace(state.switches, failover=False)))
    assert not syncmark.is_recent(replace(state, settings=replace(state.settings, sync_delta_ms=0)))


def test_lease_decides_only_where_it_would_know_of_the_other_node() -> None:
    lease = WitnessSettings(ident="w", kind=WitnessKind.LEASE, targets=("10.0.9.1:4805",))
    for record, answer in ((IN_STEP, True), (ALONE, True), (OUTDATED, False)):
        state = state_with(record)
        assert syncmark.is_recent(replace(state, settings=replace(state.settings, witness=lease))) is answer


@pytest.mark.parametrize(
    ("record", "recent", "answer"),
    [
        (IN_STEP, True, True),
        (IN_STEP, False, False),
        (OUTDATED, True, True),
        (OUTDATED, False, False),
        (replace(OUTDATED, copy=Copy.RESYNCING), True, False),
        (replace(OUTDATED, copy=Copy.UNKNOWN), True, False),
        (ALONE, True, True),
        (ALONE, False, False),
        (replace(ALONE, synced_ms=0, offered_ms=0), False, True),
    ],
)
def test_young_copy_may_start_alone_and_an_open_mark_makes_a_node_wait(
    record: AuthorityRecord, recent: bool, answer: bool
) -> None:
    rules = {"node": ONE, "peer_node": TWO, "replicated": True}
    verdict = authority.may_start_alone(record, NEVER_HEARD, recent=recent, **rules)  # type: ignore[arg-type]
    assert verdict.yes is answer
    assert verdict.reason


def test_newer_data_that_was_heard_of_is_not_given_up() -> None:
    heard_of = Peer(presence=Presence.LOST, said=replace(SAID, lineage=(G2, G1)))
    verdict = authority.may_start_alone(IN_STEP, heard_of, node=ONE, peer_node=TWO, replicated=True, recent=True)
    assert not verdict
    assert "had newer data" in verdict.reason


def test_of_two_that_diverged_the_one_that_was_alone_for_longer_than_the_interval_wins() -> None:
    long_alone = replace(ALONE, lineage=(G3, G1), took_over=True, synced_ms=0, offered_ms=0)
    briefly = replace(SAID, lineage=(G2, G1), sync_mark_ms=NOW_MS)
    assert authority.who_wins(ONE, long_alone, TWO, briefly).yes
    assert not authority.who_wins(ONE, long_alone, TWO, replace(briefly, sync_mark_ms=0)).yes


def test_primary_counts_its_offer_only_when_the_secondary_has_it() -> None:
    primary = replace(IN_STEP, role=Role.PRIM, synced_ms=0, offered_ms=0)
    state = state_with(primary, role=Role.PRIM)
    assert syncmark.offers(state)
    offered = syncmark.offered(state)
    assert (offered.authority.synced_ms, offered.authority.offered_ms) == (0, NOW_MS)
    assert not syncmark.offers(offered)
    echo = replace(SAID, role=Role.SECOND, in_step_session=S, sync_mark_ms=NOW_MS)
    heard = replace(offered, peer=Peer(presence=Presence.HEARD, said=echo))
    assert syncmark.is_confirmed(heard)
    assert not syncmark.is_confirmed(
        replace(heard, peer=Peer(presence=Presence.HEARD, said=replace(echo, role=Role.ALONE)))
    )
    assert syncmark.confirmed(heard).authority.synced_ms == NOW_MS


def test_mark_is_forgotten_when_no_clock_can_make_the_other_node_act_by_it() -> None:
    state = state_with(ALONE, role=Role.ALONE)
    over_ms = ALONE.offered_ms + DELTA_MS + state.settings.clocks_apart_ms
    assert not syncmark.is_over(replace(state, now_wall_ns=(over_ms - 1) * 1_000_000))
    assert syncmark.is_over(replace(state, now_wall_ns=over_ms * 1_000_000))
    assert syncmark.due_mono_ns(state) == (over_ms - NOW_MS) * 1_000_000
    assert syncmark.forgets_mark(state).authority.offered_ms == 0
