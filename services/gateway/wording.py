"""Pure: a fact as a line of the module's log, in the words that operators of the model know."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from holdfast.events import membership, module
from holdfast.events.envelope import Envelope
from holdfast.events.replication import ReplicasVerified, ReplicationReported
from holdfast.journal.port import StateNoted


class Level(StrEnum):
    """E is shown always, I only when all is asked for."""

    E = "E"
    I = "I"  # noqa: E741  # the model's letter
    W = "W"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: when (UTC, ns since the epoch), who, how important, what."""

    wall_ns: int
    component: str
    level: Level
    text: str

    def __str__(self) -> str:
        seconds, rest_ns = divmod(self.wall_ns, 1_000_000_000)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
        return f"{stamp}.{rest_ns // 1000:06d} | {self.component} | {self.level} | {self.text}"


def line_of(envelope: Envelope[object]) -> Line | None:
    """The line for a fact, None for facts that the log does not tell."""
    said = words(envelope.payload)
    if said is None:
        return None
    level, text = said
    return Line(wall_ns=envelope.at_wall_ns, component=envelope.source, level=level, text=text)


def line_of_state(noted: StateNoted) -> Line:
    because = f" ({noted.reason})" if noted.reason else ""
    text = f"Local state {noted.role} {noted.status}{because}"
    return Line(wall_ns=noted.wall_ns, component="statemachine", level=Level.E, text=text)


def words(payload: object) -> tuple[Level, str] | None:
    """Level and text for a payload."""
    return _words_of_module(payload) or _words_of_peer(payload) or _words_of_data(payload)


def _words_of_module(payload: object) -> tuple[Level, str] | None:
    match payload:
        case module.StateChanged() as changed:
            because = f" ({changed.reason})" if changed.reason else ""
            return Level.E, f"Local state {changed.role} {changed.status}{because}"
        case module.CommandRequested() as command:
            argument = f" {command.argument}" if command.argument else ""
            return (
                Level.E,
                f"Action {command.action}{argument} called by {command.identity or command.who or 'unknown'}",
            )
        case module.CommandRefused() as refused:
            return Level.E, f"Action {refused.action} refused: {refused.reason}"
        case module.SettingChanged() as setting:
            return Level.E, f"Setting {setting.setting} set to {'on' if setting.value else 'off'} by {setting.who}"
        case module.ConfigurationApplied() as applied:
            return Level.E, f"Configuration {applied.signature[:12]} applied"
        case module.ConfigurationRemoved():
            return Level.E, "Configuration removed"
        case module.ModuleOpened() as opened:
            return Level.I, f"Module opened, incarnation {opened.incarnation}"
        case module.ScriptFinished() as script:
            late = ", over its time limit" if script.timed_out else ""
            kept = f"; log {script.log}" if script.log else ""
            ended = f"with {script.exit_code} after {script.duration_ms / 1000:.3f} s{late}{kept}"
            return Level.E if script.exit_code or script.log else Level.I, f"Script {script.script} ended {ended}"
        case module.ResourceReported() as resource:
            return Level.E, f"Resource {resource.resource} set to {resource.value} by {resource.by}"
        case module.AddressesReported() as addresses:
            if addresses.problem or addresses.conflicts:
                what = addresses.problem or f"in conflict: {', '.join(addresses.conflicts)}"
                return Level.E, f"Virtual addresses: {what}"
            here = ", ".join(addresses.present) or "none"
            return Level.I, f"Virtual addresses on this node: {here}"
    return None


def _words_of_peer(payload: object) -> tuple[Level, str] | None:
    match payload:
        case membership.PeerReported() as peer:
            return Level.I, f"Remote state {peer.announcement.role} {peer.announcement.status}"
        case membership.PeerFound():
            return Level.E, "Remote node is heard"
        case membership.PeerSuspected() as suspected:
            return Level.I, f"Remote node has been silent for {suspected.silent_ms:.0f} ms"
        case membership.PeerLost() as lost:
            evidence = f" ({lost.evidence})" if lost.evidence else ""
            return Level.E, f"Remote node is lost: {lost.reason} after {lost.silent_ms:.0f} ms{evidence}"
        case membership.HeartbeatLinkChanged() as link:
            return Level.E, f"Resource heartbeat.{link.ident} set to {'up' if link.up else 'down'} by heartbeat"
    return None


def _words_of_data(payload: object) -> tuple[Level, str] | None:
    match payload:
        case ReplicationReported() as report if report.failed:
            return Level.E, f"Replication cannot go on: {report.failed}"
        case ReplicationReported() as report if report.resyncing:
            progress = report.progress
            done = f"{progress.files_done}/{progress.files_total} files"
            return Level.I, f"Resync ({progress.kind}): {done}, {progress.bytes_done}/{progress.bytes_total} bytes"
        case ReplicationReported() as report:
            peer = "connected" if report.connected else "not connected"
            return Level.I, f"Replication is {report.mode}, {peer}, sequence {report.sequence}"
        case ReplicasVerified() as verified:
            if verified.error:
                return Level.E, f"Replicas could not be compared: {verified.error}"
            outcome = "equal" if verified.equal else f"different in {verified.differences_total} places"
            return Level.E, f"Replicas are {outcome} ({verified.files} files, {verified.bytes} bytes)"
    return None
