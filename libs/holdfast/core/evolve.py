"""evolve(state, envelope): fold one event, then let the transition table run until nothing more can be done now.

Pure: no clock, no I/O; time is the envelope's.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import authority, commands, handlers, rules, switching, witness
from holdfast.core.announce import announced
from holdfast.core.authority import AuthorityRecord
from holdfast.core.condition import DOWN, UP
from holdfast.core.peer import Peer, Presence
from holdfast.core.row import Row, When
from holdfast.core.settings import ModuleSettings
from holdfast.core.state import Change, Resource, State, Switches, Wish
from holdfast.core.steps import NS_PER_MS, advance, script_ended
from holdfast.core.transitions import BY_ROLE
from holdfast.errors import InvariantError
from holdfast.events import membership, module, replication
from holdfast.events.envelope import Envelope
from holdfast.events.state import Copy, Role
from holdfast.ids import NO_SESSION

SETTLE_MAX = 64
"""Rows and steps that one event may set going. The longest run is a whole stop without any script to wait for: about
20. More means that two rows undo each other."""


def initial(settings: ModuleSettings, record: AuthorityRecord) -> State:
    """The state of a module before its first event, from its configuration and its durable record."""
    state = State(settings=settings, authority=record, switches=usual_switches(settings))
    return announced(state)


def usual_switches(settings: ModuleSettings) -> Switches:
    """What is switched on when nobody has switched anything."""
    return Switches(failover=settings.failover)


def reconfigured(state: State, settings: ModuleSettings) -> State:
    """The same state under a newly applied configuration; switches go back to what it says.

    One that has not changed (a node that starts, or addresses that are looked up again) leaves them as they are.
    """
    same = settings.signature == state.settings.signature
    switches = state.switches if same else usual_switches(settings)
    return announced(replace(state, settings=settings, switches=switches))


def evolve(state: State, envelope: Envelope[object]) -> State:
    """Fold one event. Durable before visible: when `authority` changed, the shell writes it before it sends orders."""
    state = replace(state, now_mono_ns=envelope.at_mono_ns, now_wall_ns=envelope.at_wall_ns, refusal=None)
    before = (state.role, state.row)
    state = witness.asked(rules.timed(settled(rules.looked(folded(state, envelope)))))
    if (state.role, state.row) != before:
        state = replace(state, because=envelope.id, trace=envelope.trace or state.trace)
    return announced(state)


def folded(state: State, envelope: Envelope[object]) -> State:
    """The state with what this event says, before anything follows from it. Events for others change nothing."""
    match envelope.payload:
        case module.CommandRequested() as command:
            return commands.requested(state, command, envelope.id)
        case module.ScriptFinished() as finished:
            return handlers.ended(script_ended(state, finished.run), finished.run, finished.exit_code)
        case module.ModuleOpened() as opened:
            return _opened(state, opened.incarnation)
        case module.AddressesReported() as report:
            return replace(state, addresses=report)
        case module.ResourceReported() as report:
            # What a script assigns brings no action: the one configured for its checker counts.
            action = report.action or state.settings.watches.action_of(report.resource)
            resource = Resource(value=report.value, by=report.by, action=action)
            return rules.with_resource(state, report.resource, resource)
        case module.SettingChanged() as change:
            return switching.switched(state, change.setting, change.value)
        case module.LoopCounted() as counted:
            at_mono_ns = state.now_mono_ns - counted.ago_ms * NS_PER_MS
            return replace(state, loop=state.loop.counted(at_mono_ns, **commands.loop_limits(state)))
        case module.LoopReset():
            return replace(state, loop=type(state.loop)(), stopped_by_maxloop=False)
        case replication.ReplicationReported() as report:
            return _replication(state, report)
        case membership.PeerReported() as report:
            return _peer_said(state, report)
        case membership.PeerFound():
            return replace(state, peer=replace(state.peer, presence=Presence.HEARD, why=""))
        case membership.PeerLost() as lost:
            return replace(state, peer=replace(state.peer, presence=Presence.LOST, why=lost.evidence or lost.reason))
        case module.WitnessReported() as report:
            value = UP if report.reachable else DOWN
            resource = Resource(value=value, by="checker-splitbrain", action=module.Action.NOACTION)
            return rules.with_resource(witness.answered(state, report), f"splitbrain.{report.ident}", resource)
        case membership.HeartbeatLinkChanged() as link:
            value = UP if link.up else DOWN
            resource = Resource(value=value, by="heartbeat", action=module.Action.NOACTION)
            return rules.with_resource(state, f"heartbeat.{link.ident}", resource)
        case _:
            return state


def settled(state: State) -> State:
    """Let the table run until no row fires and no step can be done."""
    for _ in range(SETTLE_MAX):
        following = _fired(state) or advance(state) or handlers.advanced(state)
        if following is None:
            return state
        state = following
    raise InvariantError(f"the transition table does not come to rest at row {state.row!r} in {state.role}")


def _fired(state: State) -> State | None:
    idle = state.is_idle
    for row in BY_ROLE[state.role]:
        if (idle or row.when is not When.IDLE) and row.guard(state):
            return _apply(state, row)
    return None


def _apply(state: State, row: Row) -> State:
    current = state.role
    action = row.action or state.wish.value
    after = row.change(state)
    to = row.to if row.to is not None else current
    following = row.next if row.next is not None else to
    services = state.restart_services if state.wish is Wish.RESTART else ""
    change = Change(current=current, next=following, action=action, services=services)
    steps, since = after.steps, after.step_since_mono_ns
    own = tuple(replace(step, change=change) for step in row.steps)
    if row.when is When.AFTER:
        steps = (*steps, *own)
    elif own or row.when is When.CUT:
        steps, since = own, 0
    # A rule's label stays with every row that follows from its action, until what it asked for is under way.
    reason = f"{row.reason} [{after.asked_by}]" if after.asked_by else row.reason
    asked_by = after.asked_by if after.wish is not Wish.NONE else ""
    if not row.is_told:
        return replace(after, role=to, steps=steps, step_since_mono_ns=since)
    return replace(
        after,
        role=to,
        steps=steps,
        step_since_mono_ns=since,
        row=row.name,
        reason=reason,
        asked_by=asked_by,
    )


def _opened(state: State, incarnation: int) -> State:
    """The state machine runs this module. A new incarnation begins stopped, with only its record and settings."""
    record = state.authority
    if incarnation == record.incarnation and state.announcement.incarnation == incarnation:
        return state
    if record.role is Role.SECOND and record.in_step_session != NO_SESSION and not _acknowledges_on_disk(state):
        record = authority.renounced(record, Copy.OUTDATED)
    if record.role is Role.SECOND and not _acknowledges_on_disk(state):
        record = replace(record, synced_ms=0)
    return State(
        settings=state.settings,
        authority=replace(record, incarnation=incarnation),
        switches=state.switches,
        now_mono_ns=state.now_mono_ns,
        now_wall_ns=state.now_wall_ns,
        reason="the node has started",
    )


def _acknowledges_on_disk(state: State) -> bool:
    """Was everything that a crashed secondary had acknowledged on its disk, not merely in its memory?"""
    link = state.settings.replication
    return link is None or link.settings.acknowledge_on_disk


def _replication(state: State, report: replication.ReplicationReported) -> State:
    broken = bool(report.broken_session) or bool(report.failed)
    since = state.broken_since_mono_ns
    if broken and (since == 0 or not _was_broken(state)):
        since = max(state.now_mono_ns, 1)
    return replace(state, replication=report, broken_since_mono_ns=since if broken else 0)


def _was_broken(state: State) -> bool:
    report = state.replication
    return report is not None and (bool(report.broken_session) or bool(report.failed))


def _peer_said(state: State, report: membership.PeerReported) -> State:
    """Take the peer's announcement unless a newer one is known: beats may be repeated and reordered."""
    said, known = report.announcement, state.peer.said
    if known is not None:
        newest = (known.incarnation, known.number, known.seen_incarnation, known.seen)
        if (said.incarnation, said.number, said.seen_incarnation, said.seen) < newest:
            return state
    return replace(state, peer=Peer(presence=state.peer.presence, said=said, why=state.peer.why))
