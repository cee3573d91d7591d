"""What readers are told about a module. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core import witness
from holdfast.core.peer import Presence
from holdfast.core.state import State
from holdfast.events import codec
from holdfast.events.state import Copy, Role, Status
from holdfast.journal.port import ResourceAssigned

Json = dict[str, object]


def module_model(state: State, resources: Sequence[ResourceAssigned], *, edited: bool, last: Json | None) -> Json:
    """Return everything about one module as plain JSON values. edited: a configuration waits to be applied."""
    record, settings = state.authority, state.settings
    return {
        "module": settings.module,
        "node": settings.node,
        "role": str(state.role),
        "status": str(state.status),
        "reason": state.reason,
        "because": state.because,
        "waiting_for": waiting_for(state),
        "wish": state.wish.value,
        "peer": _peer(state),
        "epoch": record.epoch,
        "incarnation": record.incarnation,
        "application": state.application,
        "lineage": list(record.lineage),
        "copy": str(record.copy if state.is_replicated else Copy.UP_TO_DATE),
        "session": record.in_step_session,
        "failover": state.switches.failover,
        "checker": state.switches.checker,
        "errd": state.switches.errd,
        "trace": state.trace,
        "resources": {item.resource: _resource(item) for item in resources},
        "addresses": codec.payload_to_jsonable(state.addresses) if state.addresses is not None else None,
        "replication": codec.payload_to_jsonable(state.replication) if state.replication is not None else None,
        "last_transition": last,
        "configuration": {
            "signature": settings.signature,
            "edited": edited,
            "same_as_peer": state.peer.said is None or state.peer.said.configuration == settings.signature,
        },
    }


def failed_model(module: str, why: str) -> Json:
    """Return what is told about a module that cannot be run at all."""
    return {
        "module": module,
        "role": str(Role.STOP),
        "status": str(Status.NOT_READY),
        "reason": f"cannot be run: {why}",
    }


def waiting_for(state: State) -> str:
    """Return in words what a module that is not Ready waits for; empty when it waits for nothing."""
    if state.status is Status.READY or (state.role is Role.STOP and state.is_idle):
        return ""
    if state.running is not None:
        return f"script {state.running.step.script} to finish"
    if state.steps:
        return str(state.steps[0].kind)
    if state.blocked_by:
        return state.blocked_by
    if state.question and state.role is not Role.WAIT:
        return f"the word of the witness: {witness.permit(state).reason}"
    if state.role is Role.WAIT and state.undecided_resource:
        return f"the first verdict on resource {state.undecided_resource}"
    if state.role is Role.SECOND:
        return "resynchronisation" if state.is_replicated else "the primary to count this node in step"
    return state.reason


def _resource(item: ResourceAssigned) -> Json:
    return {"value": item.value, "by": item.by, "at_wall_ns": item.wall_ns, "cause": item.cause}


def _peer(state: State) -> Json:
    said = state.peer.said if state.peer.presence is Presence.HEARD else None
    return {
        "node": state.settings.peer,
        "presence": str(state.peer.presence),
        "why": state.peer.why,
        "role": str(said.role) if said is not None else "",
        "status": str(said.status) if said is not None else "",
        "copy": str(said.copy) if said is not None else "",
        "epoch": said.epoch if said is not None else 0,
    }
