"""The witness: when it has to be asked, what its answer permits, and what is told to it.

A node that no longer hears the other one cannot know whether that one is dead or cut off. With a witness configured it
acts without the other only if the witness lets it. A question belongs to one uninterrupted time in which that is so; an
answer to an older one counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import authority, syncmark
from holdfast.core.authority import NO_WITNESS, Verdict
from holdfast.core.judging import NS_PER_MS
from holdfast.core.state import Forced, State, Wish
from holdfast.events.module import WitnessKind, WitnessReported, WitnessWatch
from holdfast.events.state import Role

ANSWER_LIMIT_MS = 10_000
"""Without any word from the checker in this time the witness counts as not reached: the checker itself gives up far
sooner, so this is for one that is not there."""

NO_ANSWER = Verdict(yes=False, reason="the witness has not answered yet")
NEVER_ANSWERED = Verdict(yes=False, reason="the witness is not reached: its checker says nothing")


def verdict(state: State, witness: Verdict) -> Verdict:
    """May this node, in its present role, act without the other one, if the witness says this?"""
    settings, record, peer = state.settings, state.authority, state.peer
    if state.role is Role.SECOND:
        return authority.may_promote(record, peer, failover=state.switches.failover, witness=witness)
    if state.role is Role.PRIM:
        return authority.may_go_alone(
            record,
            peer,
            node=settings.node,
            peer_node=settings.peer,
            replicated=state.is_replicated,
            witness=witness,
        )
    return authority.may_start_alone(
        record,
        peer,
        node=settings.node,
        peer_node=settings.peer,
        replicated=state.is_replicated,
        witness=witness,
        recent=syncmark.is_recent(state),
    )


def needs(state: State) -> bool:
    """Does everything but the witness's word allow this node to act without the other one?"""
    if state.settings.witness is None or not state.peer.is_lost or not _may_ask(state):
        return False
    return verdict(state, NO_WITNESS).yes and not verdict(state, NO_ANSWER).yes


def _may_ask(state: State) -> bool:
    """Would this node act at once if it were let? An operator's word needs no witness."""
    match state.role:
        case Role.PRIM:
            return True
        case Role.SECOND:
            return not state.leaving
        case Role.WAIT:
            is_free = state.wish is Wish.NONE and not state.blocked_by and not state.undecided_resource
            return is_free and state.forced is Forced.NOT
        case _:
            return False


def permit(state: State) -> Verdict:
    """What the witness says to the present question."""
    if state.settings.witness is None:
        return NO_WITNESS
    answer = _answer(state)
    if answer is None:
        return NEVER_ANSWERED if _is_overdue(state) else NO_ANSWER
    if answer.granted:
        return Verdict(yes=True, reason="the witness grants")
    return Verdict(yes=False, reason=answer.why or "the witness does not grant")


def refuses(state: State) -> bool:
    """Is the witness needed, and has it refused, or not been reached in time?"""
    if not needs(state) or permit(state):
        return False
    return _answer(state) is not None or _is_overdue(state)


def keeps_from_taking_over(state: State) -> bool:
    """Has a secondary lost its chance to take over? A lease that could not be asked for may still be granted later,
    because nobody else can have it then; an echo proves something only at the moment of the loss."""
    settings, answer = state.settings.witness, _answer(state)
    if settings is None or not refuses(state):
        return False
    return settings.kind is WitnessKind.PING or (answer is not None and answer.reachable)


def answered(state: State, report: WitnessReported) -> State:
    """Fold what the checker says. What was granted once stays granted for that question."""
    before = state.witness
    if before is not None and before.granted and before.question == report.question:
        return state
    return replace(state, witness=report)


def asked(state: State) -> State:
    """The state with its question brought up to date: a new one whenever the witness is needed anew."""
    if needs(state) == bool(state.question):
        return state
    if state.question:
        return replace(state, question="", question_since_mono_ns=0)
    number = state.questions + 1
    return replace(
        state,
        questions=number,
        question=f"{state.authority.incarnation}.{number}",
        question_since_mono_ns=max(state.now_mono_ns, 1),
    )


def watch(state: State) -> tuple[WitnessWatch, ...]:
    """What the checker is to tell the witness now."""
    settings = state.settings.witness
    if settings is None:
        return ()
    watched = WitnessWatch(
        ident=settings.ident,
        kind=settings.kind,
        targets=settings.targets,
        question=state.question,
        epoch=state.authority.epoch,
        in_step=state.is_in_step,
        acting=state.role is Role.ALONE,
        replicated=state.is_replicated,
        key_file=settings.key_file,
    )
    return (watched,)


def due_mono_ns(state: State) -> int | None:
    """When the witness counts as not reached, if nobody has answered until then."""
    if not state.question or _answer(state) is not None or _is_overdue(state):
        return None
    return state.question_since_mono_ns + ANSWER_LIMIT_MS * NS_PER_MS


def _answer(state: State) -> WitnessReported | None:
    answer = state.witness
    return answer if answer is not None and state.question and answer.question == state.question else None


def _is_overdue(state: State) -> bool:
    since = state.question_since_mono_ns
    return since > 0 and state.now_mono_ns >= since + ANSWER_LIMIT_MS * NS_PER_MS
