"""Deliberately weakened rules: each is a mistake that a designer could make, and that simulation has to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from holdfast.core import authority, guards, syncmark
from holdfast.core.authority import AuthorityRecord, Verdict
from holdfast.core.peer import Peer
from holdfast.core.state import State
from holdfast.core.transitions import ROWS
from holdfast.events.replication import ReplicationMode
from holdfast.events.state import Announcement, Copy
from holdfast.ids import NO_SESSION, NodeId
from holdfast.testing.replica import Replica

Change = tuple[object, str, Callable[..., Any]]


def _freeze_skipped() -> tuple[Change, ...]:
    """The primary goes on alone as soon as the link breaks, without the secondary's word or a verdict."""
    rule = guards.alone_verdict

    def alone_verdict(state: State) -> Verdict:
        return Verdict(yes=True, reason="mutation") if guards.link_is_down(state) else rule(state)

    return ((guards, "alone_verdict", alone_verdict),)


def _promotes_while_resyncing() -> tuple[Change, ...]:
    """A secondary takes over whether or not its copy is in step."""

    def may_promote(record: AuthorityRecord, peer: Peer, **rest: Any) -> Verdict:
        return Verdict(yes=peer.is_lost, reason="mutation")

    def never(state: State) -> bool:
        return False

    return ((authority, "may_promote", may_promote), (_row("left behind"), "guard", never))


def _secondary_in_step_first() -> tuple[Change, ...]:
    """The secondary counts itself in step before the primary has recorded that its promises need it."""

    def propose(self: Replica, link: int) -> None:
        original(self, link)
        self._send("marker", (self.proposed, frozenset(self.content)))

    def marker_is_applied(state: State) -> bool:
        report, said = state.replication, state.peer.said
        return (
            report is not None
            and said is not None
            and report.mode is ReplicationMode.SECONDARY
            and report.in_step_session not in (NO_SESSION, state.renounced_session)
            and state.authority.in_step_session == NO_SESSION
        )

    def counts(state: State) -> State:
        said, report = state.peer.said, state.replication
        assert said is not None
        assert report is not None
        record = authority.in_step_secondary(state.authority, said, report.in_step_session)
        return replace(state, authority=record)

    def secondary_is_equal(state: State) -> bool:
        said, report = state.peer.said, state.replication
        return (
            said is not None
            and report is not None
            and said.copy is Copy.UP_TO_DATE
            and report.proposed_session != NO_SESSION
            and said.in_step_session == report.proposed_session
        )

    original = Replica._propose
    return (
        (Replica, "_propose", propose),
        (_row("in step, secondary"), "guard", marker_is_applied),
        (_row("in step, secondary"), "change", counts),
        (_row("in step, primary"), "guard", secondary_is_equal),
    )


def _in_step_starter_goes_alone() -> tuple[Change, ...]:
    """A node that crashed in step starts alone when it does not hear the other one."""
    rule = authority.may_start_alone

    def may_start_alone(record: AuthorityRecord, peer: Peer, **rest: Any) -> Verdict:
        return rule(replace(record, in_step_session=NO_SESSION) if peer.is_lost else record, peer, **rest)

    return ((authority, "may_start_alone", may_start_alone),)


def _epoch_not_raised() -> tuple[Change, ...]:
    """A node that begins to act alone keeps its epoch."""
    rule = authority.alone

    def alone(record: AuthorityRecord, **rest: Any) -> AuthorityRecord:
        return replace(rule(record, **rest), epoch=record.epoch)

    return ((authority, "alone", alone),)


def _mark_counted_unheard() -> tuple[Change, ...]:
    """A primary counts a sync mark as its own without hearing that the secondary had not taken over by then."""

    def is_confirmed(state: State) -> bool:
        return state.authority.offered_ms != state.authority.synced_ms

    return ((_row("sync mark confirmed"), "guard", is_confirmed),)


def _open_mark_ignored() -> tuple[Change, ...]:
    """A node that was alone starts alone again although the other one may have begun by its mark meanwhile."""
    rule = authority.may_start_alone

    def may_start_alone(record: AuthorityRecord, peer: Peer, **rest: Any) -> Verdict:
        return rule(replace(record, offered_ms=0) if peer.is_lost else record, peer, **rest)

    return ((authority, "may_start_alone", may_start_alone),)


def _short_time_alone_wins() -> tuple[Change, ...]:
    """Of two copies that diverged, the one that was alone only for a moment may win over the one that went on."""
    rule = authority.who_wins

    def who_wins(node: NodeId, record: AuthorityRecord, peer: NodeId, said: Announcement) -> Verdict:
        return rule(node, replace(record, offered_ms=0), peer, replace(said, sync_mark_ms=0))

    return ((authority, "who_wins", who_wins),)


def _mark_never_too_old() -> tuple[Change, ...]:
    """A node begins alone by its mark however old that is."""

    def is_recent(state: State) -> bool:
        return state.authority.synced_ms > 0

    return ((syncmark, "is_recent", is_recent),)


def _row(name: str) -> object:
    return next(row for row in ROWS if row.name == name)


MUTATIONS: dict[str, Callable[[], tuple[Change, ...]]] = {
    "freeze skipped": _freeze_skipped,
    "secondary promotes while resyncing": _promotes_while_resyncing,
    "secondary in step before the primary": _secondary_in_step_first,
    "in-step starter goes alone": _in_step_starter_goes_alone,
    "epoch not raised": _epoch_not_raised,
}
SYNC_MUTATIONS: dict[str, Callable[[], tuple[Change, ...]]] = {
    "sync mark counted unheard": _mark_counted_unheard,
    "open sync mark ignored": _open_mark_ignored,
    "short time alone wins": _short_time_alone_wins,
    "sync mark never too old": _mark_never_too_old,
}
"""Mistakes that only a module with `syncdelta` can show."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The named mistake is in force inside the block."""
    changes = (MUTATIONS | SYNC_MUTATIONS)[name]()
    before = [(target, attribute, getattr(target, attribute)) for target, attribute, _ in changes]
    try:
        for target, attribute, changed in changes:
            _set(target, attribute, changed)
        yield
    finally:
        for target, attribute, original in before:
            _set(target, attribute, original)


def _set(target: object, attribute: str, value: object) -> None:
    """Set it even on a frozen row: the table is meant to be unchangeable for everybody else."""
    if isinstance(target, type):
        setattr(target, attribute, value)
    else:
        object.__setattr__(target, attribute, value)
