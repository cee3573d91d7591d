"""Pure: a fact as a line of the module's log, in the words that operators of the model know."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

from holdfast.events import membership, module
from holdfast.events.envelope import Envelope
from holdfast.events.replication import ReplicasVerified, ReplicationReported
from holdfast.journal.port import StateNoted

STOPPED_BY_MAXLOOP = "stopped by maxloop"
"""How the reason of a state begins when loop protection has stopped the module."""


class Level(StrEnum):
    """The model's letters, the most urgent first."""

    C = "C"
    """Critical: a person is needed."""
    E = "E"
    """Event: something changed, or failed and is being handled."""
    W = "W"
    """Warning, written by scripts."""
    I = "I"  # noqa: E741  # the model's letter
    """Information: what is as it should be."""
    D = "D"
    """Detail: figures and signs of life, for a search."""


class Detail(StrEnum):
    """How much of a log is shown."""

    EVENTS = "events"
    INFORMATION = "information"
    ALL = "all"

    def shows(self, level: Level) -> bool:
        match self:
            case Detail.EVENTS:
                return level not in (Level.I, Level.D)
            case Detail.INFORMATION:
                return level is not Level.D
            case Detail.ALL:
                return True


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
    level, text = words_of_state(noted.role, noted.status, noted.reason)
    return Line(wall_ns=noted.wall_ns, component="statemachine", level=level, text=text)


def words_of_state(role: str, status: str, reason: str) -> tuple[Level, str]:
    """Level and text for a state of this node."""
    because = f" ({reason})" if reason else ""
    level = Level.C if reason.startswith(STOPPED_BY_MAXLOOP) else Level.E
    return level, f"Local state {role} {status}{because}"


def words(payload: object) -> tuple[Level, str] | None:
    """Level and text for a payload."""
    return _words_of_module(payload) or _words_of_peer(payload) or _words_of_data(payload)


def _words_of_module(payload: object) -> tuple[Level, str] | None:
    match payload:
        case module.StateChanged() as changed:
            return words_of_state(changed.role, changed.status, changed.reason)
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
        case module.ResourceReported() as resource if not resource.told:
            return None
        case module.RebootOrdered() as reboot:
            if reboot.problem:
                return Level.C, f"Node could not be rebooted by {reboot.command}: {reboot.problem}"
            return Level.C, f"Node is rebooted by {reboot.command}: {reboot.reason}"
        case module.LoopCounted() as counted:
            return Level.I, f"An action of {counted.by} counts against maxloop"
        case module.LoopReset() as reset:
            return Level.I, f"Loop counter reset by {reset.by or 'unknown'}"
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
            return Level.D, f"Remote node has been silent for {suspected.silent_ms:.0f} ms"
        case membership.PeerLost() as lost:
            evidence = f" ({lost.evidence})" if lost.evidence else ""
            return Level.E, f"Remote node is lost: {lost.reason} after {lost.silent_ms:.0f} ms{evidence}"
        case membership.HeartbeatLinkChanged() as link:
            return Level.E, f"Resource heartbeat.{link.ident} set to {'up' if link.up else 'down'} by heartbeat"
    return None


def _words_of_data(payload: object) -> tuple[Level, str] | None:
    match payload:
        case ReplicationReported() as report if report.failed:
            return Level.C, f"Replication cannot go on: {report.failed}"
        case ReplicationReported() as report if report.resyncing:
            progress = report.progress
            done = f"{progress.files_done}/{progress.files_total} files"
            return Level.D, f"Resync ({progress.kind}): {done}, {progress.bytes_done}/{progress.bytes_total} bytes"
        case ReplicationReported() as report:
            peer = "connected" if report.connected else "not connected"
            return Level.D, f"Replication is {report.mode}, {peer}, sequence {report.sequence}"
        case ReplicasVerified() as verified:
            if verified.error:
                return Level.E, f"Replicas could not be compared: {verified.error}"
            outcome = "equal" if verified.equal else f"different in {verified.differences_total} places"
            return (
                Level.E if verified.equal else Level.C,
                f"Replicas are {outcome} ({verified.files} files, {verified.bytes} bytes)",
            )
    return None
