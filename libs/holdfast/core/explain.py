"""Why a module is where it is, in words for an operator."""

from __future__ import annotations

from holdfast.core import guards, witness
from holdfast.core.state import Forced, State, Wish
from holdfast.events.state import Copy, Role, Status


def sentence(state: State) -> str:
    """One sentence: what the module does or waits for now, and why."""
    if state.running is not None:
        return f"{state.running.step} runs: {state.reason}"
    if state.steps:
        return f"waits until {state.steps[0]}: {state.reason}"
    match state.role:
        case Role.STOP:
            return "stopped by maxloop" if state.stopped_by_maxloop else state.reason
        case Role.WAIT:
            return _waiting(state)
        case Role.SECOND:
            return _secondary(state)
        case Role.PRIM:
            return _primary(state)
        case Role.ALONE:
            return _alone(state)


def _waiting(state: State) -> str:
    peer = state.settings.peer
    if state.wish is not Wish.NONE:
        return f"{state.wish} is under way"
    if state.blocked_by:
        return state.blocked_by
    if state.claiming:
        return f"waits for {peer} to take note of this node's claim to be primary"
    if guards.peer_is_degraded(state):
        return f"{peer} is degraded: its replication has failed, so there is nothing to resynchronise from"
    if guards.peer_acts_on_older_copy(state):
        return f"{peer} acts as primary on an older copy: waits until it steps down"
    said = state.peer.said
    if state.peer.is_primary and said is not None and said.epoch < state.authority.epoch and state.is_replicated:
        return f"waits for {peer} to raise its epoch above {state.authority.epoch}"
    if state.forced is Forced.SECOND and not state.peer.is_primary:
        return f"told to be second, and {peer} is not primary"
    if guards.peer_claims_better(state):
        return f"{peer} is becoming primary"
    return guards.start_verdict(state).reason


def _secondary(state: State) -> str:
    if state.status is Status.READY:
        return "in step with the primary and able to take over"
    if witness.needs(state) and not state.promoting:
        return guards.promotion_verdict(state).reason
    if state.promoting:
        return "applies what it received before it takes over"
    if state.authority.copy is Copy.RESYNCING:
        report = state.replication
        connected = report is not None and report.connected
        return "is being resynchronised" if connected else "waits for the replication link to the primary"
    return state.reason


def _primary(state: State) -> str:
    if witness.needs(state):
        return guards.alone_verdict(state).reason
    if state.broken_session:
        return "writing stands still: the replication link is broken and the secondary is asked to renounce"
    if guards.link_is_down(state):
        return "writing stands still for a moment: the replication link is broken"
    return "primary with a secondary"


def _alone(state: State) -> str:
    report = state.replication
    if report is not None and report.failed:
        return f"primary alone, degraded: {report.failed}"
    return "primary alone" if not state.peer.is_heard else "primary alone, the other node is not in step"
