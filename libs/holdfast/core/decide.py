"""decide(state): the whole wanted condition. Level-triggered: equal orders need not be sent again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.core import authority, guards, handlers, host_names, rules, syncmark, witness
from holdfast.core.authority import Relation
from holdfast.core.settings import together
from holdfast.core.state import ENDING, Data, State
from holdfast.core.steps import NS_PER_MS, deadline_mono_ns, script_timeout_ms
from holdfast.events.module import (
    AnnounceState,
    ForgetScripts,
    HoldAddresses,
    RunScript,
    WatchResources,
)
from holdfast.events.replication import ReplicateDirectories, ReplicationMode, Stance
from holdfast.events.state import Role, Status
from holdfast.ids import NO_SESSION, Epoch, Generation

RESTART = "restart"
"""The action word of the rows that restart in place."""

EXECUTORS: dict[type, str] = {
    AnnounceState: "heartbeat",
    HoldAddresses: "vip",
    ReplicateDirectories: "rfs",
    RunScript: "scripts",
    ForgetScripts: "scripts",
    WatchResources: "checkers",
}
"""Which service obeys which order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """Everything wanted now. None: no such order at present. wake_at_mono_ns: feed TimerFired then at the latest.

    run: the script of the transition; handle: a handler, which may run beside it.
    """

    announce: AnnounceState
    addresses: HoldAddresses
    replicate: ReplicateDirectories | None
    watch: WatchResources
    run: RunScript | None
    handle: RunScript | None
    forget: ForgetScripts | None
    wake_at_mono_ns: int | None


def decide(state: State) -> Orders:
    """The orders that follow from this state, and nothing else."""
    settings = state.settings
    return Orders(
        announce=AnnounceState(
            announcement=state.announcement,
            peer=settings.peer,
            port=settings.heartbeat_port,
            pulse_ms=settings.heartbeat_pulse_ms,
            timeout_ms=settings.heartbeat_timeout_ms,
            links=settings.heartbeat_links,
            key_file=settings.heartbeat_key_file,
        ),
        addresses=HoldAddresses(
            addresses=settings.addresses, held=state.addresses_wanted, reset_connections=settings.reset_connections
        ),
        replicate=_replicate(state),
        watch=replace(_watch(state), witnesses=witness.watch(state)),
        run=_run(state),
        handle=_handle(state),
        forget=ForgetScripts(reason=state.reason) if state.forget_scripts and state.running is not None else None,
        wake_at_mono_ns=wake_at_mono_ns(state),
    )


STANCES = {
    Data.OFF: (ReplicationMode.OFF, Stance.ALONE),
    Data.SECONDARY: (ReplicationMode.SECONDARY, Stance.ALONE),
    Data.APPLY: (ReplicationMode.PRIMARY, Stance.DRAIN),
    Data.ALONE: (ReplicationMode.PRIMARY, Stance.ALONE),
    Data.IN_STEP: (ReplicationMode.PRIMARY, Stance.IN_STEP),
    Data.DRAIN: (ReplicationMode.PRIMARY, Stance.DRAIN),
    Data.FENCED: (ReplicationMode.SECONDARY, Stance.ALONE),
}

NOBODY = Epoch(2**63 - 1)
"""A fence that no primary's epoch reaches: the copy follows nobody."""


def _replicate(state: State) -> ReplicateDirectories | None:
    link = state.settings.replication
    if link is None:
        return None
    mode, stance = STANCES[state.data]
    record = state.authority
    needs_session = state.data in (Data.IN_STEP, Data.DRAIN, Data.APPLY)
    return ReplicateDirectories(
        mode=mode,
        stance=stance,
        epoch=record.epoch,
        fence_epoch=NOBODY if state.data is Data.FENCED else record.epoch,
        generation=record.generation,
        base=base_of(state),
        session=record.in_step_session if needs_session else NO_SESSION,
        full=state.full,
        quarantine=state.data is Data.SECONDARY and has_diverged(state),
        local_address=link.local_address,
        peer_address=link.peer_address,
        port=link.port,
        key_file=link.key_file,
        settings=link.settings,
    )


def base_of(state: State) -> Generation:
    """The newest generation that both copies have in common; in step that is the present one."""
    said = state.peer.said
    if state.is_in_step:
        return state.authority.generation
    return authority.common_generation(state.authority.lineage, said.lineage) if said is not None else Generation("")


def has_diverged(state: State) -> bool:
    """Has this copy a history that the primary's does not descend from? Its differing files are then kept."""
    said, own = state.peer.said, state.authority.lineage
    return said is not None and bool(own) and authority.relation(own, said.lineage) is Relation.DIVERGED


def _run(state: State) -> RunScript | None:
    running, settings = state.running, state.settings
    if running is None:
        return None
    return RunScript(
        run=running.run,
        script=running.step.script,
        arguments=running.arguments,
        environment=dict(settings.script_environment),
        timeout_ms=script_timeout_ms(state, running.step),
        log_bytes_max=settings.script_log_bytes_max,
        host_name=host_names.name_of(settings.virtual_host),
        has_host_name=host_names.script_has_name(settings.virtual_host, running.step),
    )


def _handle(state: State) -> RunScript | None:
    run, settings = handlers.under_way(state), state.settings
    if run is None:
        return None
    return RunScript(
        run=run.run,
        script=run.script,
        arguments=(),
        environment=dict(settings.script_environment),
        timeout_ms=settings.script_timeout_ms,
        log_bytes_max=settings.script_log_bytes_max,
        host_name=host_names.name_of(settings.virtual_host),
        has_host_name=host_names.handler_has_name(settings.virtual_host, state.role),
    )


def _watch(state: State) -> WatchResources:
    """What is watched in any state, and the classes of the present role once its scripts have run."""
    pre, in_role = _watched_always(state), _watched_in_role(state)
    if not is_past_prestart(state):
        watched = in_role
    elif _restarts(state):
        watched = together(replace(pre, processes=()), in_role)
    else:
        watched = together(pre, in_role)
    if not state.switches.checker:
        watched = WatchResources(processes=watched.processes)
    return replace(
        watched, processes=tuple(each for each in watched.processes if rules.is_heeded(state, each.resource))
    )


def _watched_always(state: State) -> WatchResources:
    """What is watched in any state: the class `pre`, and private classes (those that are switched off leave later)."""
    watches = state.settings.watches
    return together(watches.pre, *(WatchResources(processes=each.processes) for each in watches.private))


def is_past_prestart(state: State) -> bool:
    """Has prestart run, and poststop not yet begun?"""
    scripts = [step.script for step in state.steps]
    running = state.running.step.script if state.running is not None else ""
    if state.role is Role.STOP or "prestart" in (running, *scripts):
        return False
    is_ending = state.role is Role.WAIT and state.leaving and state.wish in ENDING
    return not is_ending or "poststop" in scripts


def _restarts(state: State) -> bool:
    """A restart in place is under way: processes watched in any state are judged anew after it, like the others."""
    steps = (*state.steps, *((state.running.step,) if state.running is not None else ()))
    return any(step.change is not None and step.change.action == RESTART for step in steps)


def _watched_in_role(state: State) -> WatchResources:
    watches = state.settings.watches
    if state.status is not Status.READY:
        return WatchResources()
    match state.role:
        case Role.ALONE:
            return together(watches.both, watches.prim, watches.sec)
        case Role.PRIM:
            return together(watches.both, watches.prim)
        case Role.SECOND:
            return together(watches.both, watches.second, watches.sec)
        case Role.STOP | Role.WAIT:
            return WatchResources()


def wake_at_mono_ns(state: State) -> int | None:
    """The earliest instant at which time alone changes what is wanted, if there is one."""
    instants: list[int] = []
    deadline = deadline_mono_ns(state)
    if deadline is not None:
        instants.append(deadline)
    if state.role is Role.PRIM and guards.link_is_down(state) and not state.broken_session:
        instants.append(state.broken_since_mono_ns + state.settings.renounce_grace_ms * NS_PER_MS)
    if state.swap_requested_at_mono_ns:
        instants.append(state.swap_requested_at_mono_ns + guards.SWAP_REQUEST_LIMIT_MS * NS_PER_MS)
    if state.role is Role.WAIT and state.blocked_until_mono_ns:
        instants.append(state.blocked_until_mono_ns)
    due = (
        handlers.due_mono_ns(state),
        rules.due_mono_ns(state),
        witness.due_mono_ns(state),
        syncmark.due_mono_ns(state),
    )
    instants += [at for at in due if at is not None]
    return min(instants, default=None)
