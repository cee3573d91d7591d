"""decide(state): the whole wanted condition. Level-triggered: equal orders need not be sent again."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core import authority, guards
from holdfast.core.authority import Relation
from holdfast.core.state import Data, State
from holdfast.core.steps import NS_PER_MS, deadline_mono_ns
from holdfast.events.module import (
    AnnounceState,
    ForgetScripts,
    HoldAddresses,
    ProcessWatch,
    RunScript,
    TcpWatch,
    WatchResources,
)
from holdfast.events.replication import ReplicateDirectories, ReplicationMode, Stance
from holdfast.events.state import Role, Status
from holdfast.ids import NO_SESSION, Generation

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
    """Everything wanted now. None: no such order at present. wake_at_mono_ns: feed TimerFired then at the latest."""

    announce: AnnounceState
    addresses: HoldAddresses
    replicate: ReplicateDirectories | None
    watch: WatchResources
    run: RunScript | None
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
        watch=_watch(state),
        run=_run(state),
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
}


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
        fence_epoch=record.epoch,
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
        timeout_ms=settings.script_timeout_ms,
        log_bytes_max=settings.script_log_bytes_max,
    )


def _watch(state: State) -> WatchResources:
    """The classes of the present role, once its scripts have run."""
    if state.status is not Status.READY:
        return WatchResources()
    watches = state.settings.watches
    processes: tuple[ProcessWatch, ...] = ()
    tcp: tuple[TcpWatch, ...] = ()
    match state.role:
        case Role.ALONE | Role.PRIM:
            processes = (*watches.both_processes, *watches.prim_processes)
            tcp = (*watches.both_tcp, *watches.prim_tcp)
        case Role.SECOND:
            processes = (*watches.both_processes, *watches.second_processes)
            tcp = (*watches.both_tcp, *watches.second_tcp)
        case Role.STOP | Role.WAIT:
            return WatchResources()
    if state.role in (Role.ALONE, Role.SECOND):
        processes, tcp = (*processes, *watches.sec_processes), (*tcp, *watches.sec_tcp)
    return WatchResources(processes=processes if state.switches.errd else (), tcp=tcp if state.switches.checker else ())


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
    return min(instants, default=None)
