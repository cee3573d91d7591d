"""The rows of the transition table about sync marks: bookkeeping, after which a module is where it was."""

from __future__ import annotations

from holdfast.core import syncmark
from holdfast.core.row import Phase, Row, Trigger, When, also
from holdfast.events.state import Role

MARK: tuple[Row, ...] = (
    Row(
        name="offer a sync mark",
        phase=Phase.MARK,
        roles=frozenset({Role.PRIM}),
        trigger=Trigger.TIME,
        guard=syncmark.offers,
        when=When.AFTER,
        change=syncmark.offered,
        is_told=False,
        also=also(Trigger.MARK_CONFIRMED),
        reason="in step: everything promised up to now is on both nodes, which syncdelta counts from",
    ),
    Row(
        name="sync mark confirmed",
        phase=Phase.MARK,
        roles=frozenset({Role.PRIM}),
        trigger=Trigger.MARK_CONFIRMED,
        guard=syncmark.is_confirmed,
        when=When.AFTER,
        change=syncmark.confirmed,
        is_told=False,
        reason="the secondary has recorded the mark in step, so it had not taken over at that instant",
    ),
    Row(
        name="take the sync mark",
        phase=Phase.MARK,
        roles=frozenset({Role.SECOND}),
        trigger=Trigger.MARK_OFFERED,
        guard=syncmark.is_offered_one,
        when=When.AFTER,
        change=syncmark.takes_mark,
        is_told=False,
        reason="in step: everything promised before the primary's mark is in this copy",
    ),
    Row(
        name="sync mark is over",
        phase=Phase.MARK,
        roles=frozenset({Role.ALONE}),
        trigger=Trigger.TIME,
        guard=syncmark.is_over,
        when=When.AFTER,
        change=syncmark.forgets_mark,
        is_told=False,
        reason="alone for longer than syncdelta: the other node can no longer begin by its mark",
    ),
)
