"""Figures for Prometheus, in its text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from holdfast.errors import RefusedError, UnavailableError
from holdfast.events.state import Role, Status

from services.gateway.api.state import ModuleState, states_of
from services.gateway.hub import Figures
from services.gateway.parts import GatewayHere

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
router = APIRouter(tags=["metrics"])

HELP = {
    "holdfast_statemachine_up": "1 when the state machine answers.",
    "holdfast_module_role": "1 for the role that the module has on this node.",
    "holdfast_module_ready": "1 when the module is ready in its role.",
    "holdfast_module_epoch": "Epoch of the module's authority record.",
    "holdfast_heartbeat_peer_heard": "1 when the other node is heard.",
    "holdfast_heartbeat_link_up": "1 when beats come in on this network.",
    "holdfast_rfs_connected": "1 when replication is connected to the other node.",
    "holdfast_rfs_resyncing": "1 while a resync is under way.",
    "holdfast_rfs_sequence": "Last operation in the replication stream.",
    "holdfast_rfs_acknowledged": "Last operation acknowledged by the other node.",
    "holdfast_rfs_resync_bytes": "Bytes copied by the present or last resync.",
    "holdfast_rfs_resync_bytes_total": "Bytes that the present or last resync has to copy.",
    "holdfast_rfs_quarantined_files": "Diverged files that were kept.",
    "holdfast_spans_exported": "Spans that the collector has taken since this gateway began.",
    "holdfast_spans_dropped": "Spans that the collector refused, or that the store gave up while it was away.",
    "holdfast_spans_waiting": "Spans in the store that wait for the collector.",
    "holdfast_rfs_metric": "Further values of replication, by the name of their resource.",
}
Sample = tuple[str, dict[str, str], float]


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(gateway: GatewayHere) -> PlainTextResponse:
    """State, role, heartbeat and replication of every module of this node."""
    try:
        states = await states_of(gateway, "")
    except (UnavailableError, RefusedError):
        states = None
    samples: list[Sample] = [("holdfast_statemachine_up", {}, float(states is not None))]
    for state in states or ():
        samples += _of_state(state)
    for module, figures in gateway.hub.figures.items():
        samples += _of_figures(module, figures)
    exporter = gateway.exporter
    if exporter is not None:
        samples.append(("holdfast_spans_exported", {}, float(exporter.exported)))
        samples.append(("holdfast_spans_dropped", {}, float(exporter.dropped)))
        samples.append(("holdfast_spans_waiting", {}, float(exporter.waiting)))
    return PlainTextResponse(render(samples), media_type=CONTENT_TYPE)


def render(samples: list[Sample]) -> str:
    """The samples grouped by name, each group with its help."""
    lines: list[str] = []
    for name, text in HELP.items():
        group = [(labels, value) for each, labels, value in samples if each == name]
        if group:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels(labels)} {value:g}" for labels, value in group]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _of_state(state: ModuleState) -> Iterator[Sample]:
    labels = {"module": state.module}
    for role in Role:
        yield "holdfast_module_role", {**labels, "role": role.value}, float(state.role == role)
    yield "holdfast_module_ready", labels, float(state.status == Status.READY)
    yield "holdfast_module_epoch", labels, float(state.epoch)


def _of_figures(module: str, figures: Figures) -> Iterator[Sample]:
    labels = {"module": module}
    if figures.peer_heard is not None:
        yield "holdfast_heartbeat_peer_heard", labels, float(figures.peer_heard)
    for ident, up in sorted(figures.links.items()):
        yield "holdfast_heartbeat_link_up", {**labels, "link": ident}, float(up)
    report = figures.replication
    if report is None:
        return
    yield "holdfast_rfs_connected", labels, float(report.connected)
    yield "holdfast_rfs_resyncing", labels, float(report.resyncing)
    yield "holdfast_rfs_sequence", labels, float(report.sequence)
    yield "holdfast_rfs_acknowledged", labels, float(report.acknowledged)
    yield "holdfast_rfs_resync_bytes", labels, float(report.progress.bytes_done)
    yield "holdfast_rfs_resync_bytes_total", labels, float(report.progress.bytes_total)
    yield "holdfast_rfs_quarantined_files", labels, float(report.quarantined_files)
    for name, value in sorted(report.metrics.items()):
        yield "holdfast_rfs_metric", {**labels, "name": name}, value
