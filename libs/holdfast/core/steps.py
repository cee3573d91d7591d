"""The steps of a transition: how each begins, and how it is seen to be done.

Every step may begin twice (the state machine can be killed between any two of them): what it sets is a wanted
condition, what ends it is an observed fact.
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import authority, rules
from holdfast.core.state import Change, Data, ScriptRun, State, Step, StepKind
from holdfast.events.replication import ReplicationMode
from holdfast.events.state import Role, Status

NS_PER_MS = 1_000_000

ADDRESSES_LIMIT_MS = 10_000
"""An address that cannot be set (cable out, another owner) must not keep the application from starting for ever:
ten times what netlink and a probe for another owner need."""
RELEASE_LIMIT_MS = 10_000
PEER_GOES_ON_LIMIT_MS = 2_000
"""A primary that hears a renouncement answers within a beat; two default heartbeat timeouts are ample."""
REPLICATION_OFF_LIMIT_MS = 30_000
"""Unmounting waits for nobody (it is lazy); longer means that the service is gone, and the stop has to end."""

LIMITS_MS = {
    StepKind.ADDRESSES: ADDRESSES_LIMIT_MS,
    StepKind.RELEASE: RELEASE_LIMIT_MS,
    StepKind.PEER_GOES_ON: PEER_GOES_ON_LIMIT_MS,
    StepKind.REPLICATION_OFF: REPLICATION_OFF_LIMIT_MS,
}


def advance(state: State) -> State | None:
    """Do the next step, or finish the one under way; None when nothing can be done now."""
    if state.running is not None or not state.steps:
        return None
    step = state.steps[0]
    if step.kind is StepKind.SCRIPT:
        return _script(state, step)
    if state.step_since_mono_ns == 0:
        return _begun(state, step)
    if is_done(state, step) or _is_overdue(state, step):
        return _next(state)
    return None


def deadline_mono_ns(state: State) -> int | None:
    """When the step under way is given up, if it ever is."""
    if state.running is not None or not state.steps or state.step_since_mono_ns == 0:
        return None
    limit = LIMITS_MS.get(state.steps[0].kind)
    return None if limit is None else state.step_since_mono_ns + limit * NS_PER_MS


def _is_overdue(state: State, step: Step) -> bool:
    deadline = deadline_mono_ns(state)
    return deadline is not None and state.now_mono_ns >= deadline


def _next(state: State) -> State:
    after = replace(state, steps=state.steps[1:], step_since_mono_ns=0)
    return rules.judged_anew(after) if not after.steps and after.status is Status.READY else after


def _script(state: State, step: Step) -> State:
    """Run the script, unless it starts what is started or stops what is not. A forced stop always runs."""
    starts, stops = step.script.startswith("start_"), step.script.startswith("stop_")
    if starts and step.group in state.groups:
        return _next(state)
    if stops and step.group not in state.groups and not step.force:
        return _next(state)
    if not state.settings.runs_scripts:
        return _next(replace(state, groups=_groups_after(state, step)))
    change = step.change or Change()
    arguments: tuple[str, ...] = (str(change.current), str(change.next), change.action)
    if change.services:
        arguments = (*arguments, "-Services", change.services)
    run = ScriptRun(
        run=f"{state.settings.node}-{state.authority.incarnation}-{state.run_counter + 1}",
        step=step,
        arguments=("force", *arguments) if step.force else arguments,
    )
    return replace(
        state,
        steps=state.steps[1:],
        step_since_mono_ns=0,
        run_counter=state.run_counter + 1,
        running=run,
        application=run.run if starts and step.group in ("both", "prim") else state.application,
        groups=state.groups | {step.group} if starts else state.groups,
    )


def _groups_after(state: State, step: Step) -> frozenset[str]:
    """The started groups once this script counts as done."""
    if step.script.startswith("start_"):
        return state.groups | {step.group}
    return state.groups - {step.group} if step.script.startswith("stop_") else state.groups


def script_timeout_ms(state: State, step: Step) -> int:
    """How long this script may take: stop scripts have limits of their own, graceful and forced."""
    settings = state.settings
    if step.force:
        return settings.force_stop_timeout_ms
    return settings.nice_stop_timeout_ms if step.script.startswith("stop_") else settings.script_timeout_ms


def script_ended(state: State, run: str) -> State:
    """Fold the end of the running script; an older run's repeated result changes nothing."""
    if state.running is None or state.running.run != run:
        return state
    step = state.running.step
    groups = _groups_after(state, step) if step.script.startswith("stop_") else state.groups
    after = replace(state, running=None, groups=groups, forget_scripts=False)
    return rules.judged_anew(after) if not after.steps and after.status is Status.READY else after


def _begun(state: State, step: Step) -> State:
    since = max(state.now_mono_ns, 1)
    match step.kind:
        case StepKind.RELEASE:
            return replace(state, step_since_mono_ns=since, addresses_wanted=False)
        case StepKind.ADDRESSES:
            return replace(state, step_since_mono_ns=since, addresses_wanted=True)
        case StepKind.REPLICATION_OFF:
            return replace(state, step_since_mono_ns=since, data=Data.OFF)
        case StepKind.DRAIN:
            data = Data.DRAIN if state.is_in_step and state.role is Role.PRIM else state.data
            return replace(state, step_since_mono_ns=since, data=data)
        case _:
            return replace(state, step_since_mono_ns=since)


def is_done(state: State, step: Step) -> bool:
    """Has what this step waits for been observed?"""
    match step.kind:
        case StepKind.SCRIPT:
            return False
        case StepKind.WRITABLE:
            return is_writable(state)
        case StepKind.ADDRESSES:
            return not state.settings.addresses or (state.addresses is not None and state.addresses.held)
        case StepKind.RELEASE:
            return not state.settings.addresses or (state.addresses is not None and not state.addresses.present)
        case StepKind.DRAIN:
            return is_drained(state)
        case StepKind.REPLICATION_OFF:
            report = state.replication
            return not state.is_replicated or (
                report is not None and report.mode is ReplicationMode.OFF and not report.mounted
            )
        case StepKind.PEER_GOES_ON:
            said = state.peer.said
            return not state.peer.is_primary or said is None or said.in_step_session != state.renounced_session


def is_writable(state: State) -> bool:
    """Does replication act as primary with our epoch, so that applications may write?"""
    report = state.replication
    return not state.is_replicated or (
        report is not None
        and report.mode is ReplicationMode.PRIMARY
        and report.epoch == state.authority.epoch
        and report.writable
    )


def is_drained(state: State) -> bool:
    """Is there nothing left that the peer would miss? Also when it no longer counts, or has gone on without us."""
    if not state.is_replicated or not state.is_in_step or authority.is_newer(state.peer.said, state.authority):
        return True
    report = state.replication
    return report is not None and report.drained_session == state.authority.in_step_session
