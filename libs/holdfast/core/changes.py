"""What the rows of the transition table do to a State: pure functions, one per row or shared by several.

Changes of `authority` are what the shell makes durable before any order that follows from them is sent.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import authority, commands, rules
from holdfast.core.peer import PRIMARY_ROLES
from holdfast.core.state import STOPPING, Data, Forced, State, Wish
from holdfast.core.steps import NS_PER_MS
from holdfast.events.module import Action, CommandRequested
from holdfast.events.state import Copy, Role
from holdfast.ids import NO_SESSION, Epoch, Session

RESYNC_RETRY_MS = 10_000
"""A resync that failed for good (disk full, permission) is tried again after this: often enough to heal by itself
soon after its cause is gone, seldom enough not to fill a log."""


def nothing(state: State) -> State:
    return state


def starts(state: State) -> State:
    return replace(
        state,
        wish=Wish.NONE,
        handover_session=NO_SESSION,
        handover_is_swap=False,
        stopped_by_maxloop=False,
        leaving=False,
    )


def joins(state: State) -> State:
    """The copy is recorded as resyncing before replication may touch it; the primary's session is renounced."""
    said = state.peer.said
    assert said is not None, "a node joins a primary that it has heard"
    session = said.in_step_session or state.authority.in_step_session or state.renounced_session
    return replace(
        state,
        authority=authority.joining(state.authority, said, replicated=state.is_replicated),
        data=Data.SECONDARY,
        forced=Forced.NOT,
        claiming=False,
        renounced_session=session,
        handover_session=NO_SESSION,
        handover_is_swap=False,
    )


def claims(state: State) -> State:
    return replace(state, claiming=True)


def withdraws(state: State) -> State:
    """A claim that lost against a better one is over, the operator's word behind it too."""
    return replace(state, claiming=False, forced=Forced.NOT)


def begins_alone(state: State) -> State:
    """A new epoch, and a new generation where the copies may part: durable before the first write."""
    said = state.peer.said
    return replace(
        state,
        authority=authority.alone(
            state.authority,
            node=state.settings.node,
            epoch_seen=said.epoch if said is not None else Epoch(0),
            took_over=state.role is Role.SECOND,
            forced=state.forced is not Forced.NOT,
        ),
        data=Data.ALONE,
        addresses_wanted=True,
        claiming=False,
        forced=Forced.NOT,
        promoting=False,
        handover_session=NO_SESSION,
        handover_is_swap=False,
        broken_session=NO_SESSION,
        swap_requested_at_mono_ns=0,
        leaving=False,
        wish=Wish.NONE,
    )


def begins_alone_recently_synchronised(state: State) -> State:
    """As `begins_alone`. Should the other node act after all, cut off, then this is the one that took over."""
    begun = begins_alone(state)
    if begun.authority.generation == state.authority.generation:
        return begun
    return replace(begun, authority=replace(begun.authority, took_over=True))


def goes_on_alone(state: State) -> State:
    """PRIM to ALONE: the freeze ends. What is under way (restart, stop, swap) goes on."""
    return replace(begins_alone(state), wish=state.wish, leaving=state.leaving, addresses_wanted=state.addresses_wanted)


def gives_up_swap(state: State) -> State:
    """Alone in the middle of a swap: the application is started again here."""
    return replace(goes_on_alone(state), wish=Wish.NONE, leaving=False, addresses_wanted=True)


def counts_in_step_as_primary(state: State) -> State:
    """From here promises need the peer."""
    report = state.replication
    counter = state.session_counter + 1
    if state.is_replicated:
        assert report is not None, "a session is proposed by replication"
        session = report.proposed_session
    else:
        settings, record = state.settings, state.authority
        session = Session(f"{settings.node}.{record.epoch}.{record.incarnation}.{counter}")
    return replace(
        state,
        authority=authority.in_step_primary(state.authority, session),
        session_counter=counter,
        data=Data.IN_STEP,
        broken_session=NO_SESSION,
        full=False,
    )


def counts_in_step_as_secondary(state: State) -> State:
    said = state.peer.said
    assert said is not None, "a secondary is in step with a primary that it has heard"
    record = authority.in_step_secondary(state.authority, said, said.in_step_session)
    switches = replace(state.switches, full_resync=False)
    return replace(state, authority=record, renounced_session=NO_SESSION, full=False, switches=switches)


def asks_to_renounce(state: State) -> State:
    return replace(state, broken_session=state.authority.in_step_session)


def link_is_back(state: State) -> State:
    return replace(state, broken_session=NO_SESSION)


def renounces(state: State) -> State:
    """Durably outdated as of that session. A secondary that stays one will be overwritten by a resync next."""
    said = state.peer.said
    asked = said.broken_session if said is not None and state.peer.is_primary else NO_SESSION
    copy = Copy.RESYNCING if state.role is Role.SECOND else Copy.OUTDATED
    is_ours = state.authority.in_step_session in (asked, NO_SESSION) or authority.is_newer(said, state.authority)
    record = authority.renounced(state.authority, copy) if state.is_in_step and is_ours else state.authority
    if not state.is_replicated:
        record = replace(record, copy=state.authority.copy)
    session = asked or state.authority.in_step_session or state.renounced_session
    data = Data.SECONDARY if state.role is Role.SECOND else state.data
    return replace(state, authority=record, renounced_session=session, promoting=False, data=data)


def prepares_to_take_over(state: State) -> State:
    """Replication refuses the old primary's stream from now on and applies what it has received."""
    return replace(state, promoting=True, data=Data.APPLY)


def breaks_off(state: State) -> State:
    """The primary is there after all: replication has left its session, so the claim to be in step is renounced."""
    session = state.authority.in_step_session or state.renounced_session
    record = authority.renounced(state.authority, Copy.RESYNCING if state.is_replicated else state.authority.copy)
    return replace(state, promoting=False, data=Data.SECONDARY, authority=record, renounced_session=session)


def leaves_for_wait(state: State) -> State:
    """Out of SECOND without taking over."""
    return replace(state, promoting=False, data=Data.OFF, swap_requested_at_mono_ns=0, leaving=False)


def waits_for_retry(state: State) -> State:
    report = state.replication
    why = report.failed if report is not None else ""
    until = state.now_mono_ns + RESYNC_RETRY_MS * NS_PER_MS
    return replace(leaves_for_wait(state), blocked_by=f"replication failed: {why}", blocked_until_mono_ns=until)


def isolates(state: State) -> State:
    """Frozen applications are let go with an error, so that they can be stopped; nobody reaches them any more."""
    wish = state.wish if state.wish in STOPPING else Wish.ISOLATED
    return replace(state, leaving=True, wish=wish, data=Data.FENCED, addresses_wanted=False, broken_session=NO_SESSION)


def wishes_swap(state: State) -> State:
    return replace(state, wish=Wish.SWAP)


def asks_for_swap(state: State) -> State:
    return replace(
        state,
        swap_requested_at_mono_ns=max(state.now_mono_ns, 1),
        authority=replace(state.authority, last_primary=False),
    )


def forgets_swap(state: State) -> State:
    return replace(state, swap_requested_at_mono_ns=0)


def drops_wish(state: State) -> State:
    return replace(state, wish=Wish.NONE)


def begins_to_leave(state: State) -> State:
    return replace(state, leaving=True)


def begins_to_step_down(state: State) -> State:
    wish = state.wish if state.wish in (Wish.STOP, Wish.STOPSTART, Wish.WAIT) else Wish.STEP_DOWN
    return replace(state, leaving=True, wish=wish)


def secondary_begins_to_leave(state: State) -> State:
    """Renounces first, when the primary is there to go on: so it does not freeze for a moment."""
    state = replace(state, leaving=True, promoting=False, swap_requested_at_mono_ns=0)
    if not state.is_in_step or not state.peer.is_primary:
        return state
    copy = Copy.OUTDATED if state.is_replicated else state.authority.copy
    session = state.authority.in_step_session
    return replace(state, authority=authority.renounced(state.authority, copy), renounced_session=session)


def hands_over(state: State) -> State:
    """The role is given away, durably: the secondary may take over in this session without waiting. A primary that
    could not drain gives nothing away; its record stays that of one that crashed."""
    is_swap = state.wish is Wish.SWAP
    is_fenced = state.data is Data.FENCED
    drained = state.is_in_step and not is_fenced and not authority.is_newer(state.peer.said, state.authority)
    record = replace(state.authority, role=Role.SECOND) if drained else state.authority
    record = replace(record, last_primary=state.wish in (Wish.STOP, Wish.STOPSTART))
    return replace(
        _after_leaving(state),
        authority=record,
        handover_session=state.authority.in_step_session if drained else NO_SESSION,
        handover_is_swap=is_swap and drained,
        leaving=False,
        addresses_wanted=False,
        broken_session=NO_SESSION,
    )


def leaves_secondary(state: State) -> State:
    return _after_leaving(leaves_for_wait(state))


def _after_leaving(state: State) -> State:
    """What stays wanted in WAIT, by what led there."""
    if state.wish is Wish.WAIT:
        return _waiting(replace(state, wish=Wish.NONE))
    if state.wish in (Wish.STOP, Wish.STOPSTART):
        return state
    return replace(state, wish=Wish.NONE)


def _waiting(state: State) -> State:
    """What keeps a module in WAIT that has left its role to wait: a rule that still holds, or an operator's word."""
    asked = rules.blocking(state)
    if asked is not None:
        return replace(state, blocked_by=asked.why, blocked_resource=asked.resource)
    if state.blocked_resource:
        return state.unblocked()
    return replace(state, blocked_by="told to wait; wakeup ends it")


def forced_out(state: State) -> State:
    """forcestop: out of the role at once; the running script is ended, the forced stop scripts follow."""
    if state.role is Role.SECOND:
        state = secondary_begins_to_leave(state)
    data = Data.DRAIN if state.role is Role.PRIM and state.is_in_step else state.data
    last_primary = state.role in PRIMARY_ROLES
    record = replace(state.authority, last_primary=last_primary)
    return replace(
        state,
        authority=record,
        data=data,
        addresses_wanted=False,
        leaving=False,
        promoting=False,
        forget_scripts=state.running is not None,
    )


def begins_to_end(state: State) -> State:
    return replace(state, leaving=True, claiming=False, forced=Forced.NOT)


def ends(state: State) -> State:
    again = state.wish is Wish.STOPSTART
    return replace(
        state,
        wish=Wish.START if again else Wish.NONE,
        leaving=False,
        groups=frozenset(),
        data=Data.OFF,
        addresses_wanted=False,
        forget_scripts=False,
        blocked_by="",
        blocked_resource="",
        blocked_until_mono_ns=0,
    )


def raises_epoch(state: State) -> State:
    said = state.peer.said
    assert said is not None, "an epoch is raised above one that was heard"
    return replace(state, authority=replace(state.authority, epoch=Epoch(said.epoch + 1)))


def restarts(state: State) -> State:
    return replace(state, wish=Wish.NONE, restart_services="")


def obeys_resource(state: State) -> State:
    """A rule's action is a command that counts against maxloop. What it acted on is judged anew, save for waiting,
    which lasts as long as the rule holds."""
    asked = rules.wanted(state)
    assert asked is not None, "the guard has found a rule that asks"
    command = CommandRequested(action=asked.action, identity=asked.by or asked.label, who=f"rule {asked.label}")
    after = replace(commands.requested(state, command, ""), refusal=None, asked_by=asked.why)
    if asked.action is Action.WAIT:
        return replace(after, blocked_resource=asked.resource)
    services = rules.services_of(state, asked.resets) if after.wish is Wish.RESTART else ""
    return rules.forgotten(replace(after, restart_services=services), asked.resets)


def blocks_on_resource(state: State) -> State:
    asked = rules.blocking(state)
    assert asked is not None, "the guard has found a rule that asks for waiting"
    return replace(state, blocked_by=asked.why, blocked_resource=asked.resource, claiming=False)


def wakes_up(state: State) -> State:
    return state.unblocked()
