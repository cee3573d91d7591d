"""Pure: a fact as a line of the module's log, in the words that operators of the model know."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from enum import StrEnum

from holdfast.events import membership, module
from holdfast.events.envelope import Envelope
from holdfast.events.replication import ReplicasVerified, ReplicationReported
from holdfast.journal.port import StateNoted
from holdfast.support import sentences
from holdfast.support.sentences import Language, decimal

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


def line_of(envelope: Envelope[object], language: Language = Language.EN) -> Line | None:
    """The line for a fact, None for facts that the log does not tell."""
    said = words(envelope.payload, language)
    if said is None:
        return None
    level, text = said
    return Line(wall_ns=envelope.at_wall_ns, component=envelope.source, level=level, text=text)


def line_of_state(noted: StateNoted, language: Language = Language.EN) -> Line:
    level, text = words_of_state(noted.role, noted.status, noted.reason, language)
    return Line(wall_ns=noted.wall_ns, component="statemachine", level=level, text=text)


def words_of_state(role: str, status: str, reason: str, language: Language = Language.EN) -> tuple[Level, str]:
    """Level and text for a state of this node."""
    level = Level.C if reason.startswith(STOPPED_BY_MAXLOOP) else Level.E
    sentence = sentences.STATE_BECAUSE if reason else sentences.STATE
    return level, sentence.say(language, role=role, status=status, reason=reason)


def words(payload: object, language: Language = Language.EN) -> tuple[Level, str] | None:
    """Level and text for a payload."""
    return (
        _words_of_module(payload, language)
        or _words_of_doing(payload, language)
        or _words_of_peer(payload, language)
        or _words_of_data(payload, language)
    )


def _words_of_module(payload: object, language: Language) -> tuple[Level, str] | None:
    match payload:
        case module.StateChanged() as changed:
            return words_of_state(changed.role, changed.status, changed.reason, language)
        case module.CommandRequested() as command:
            action = f"{command.action} {command.argument}" if command.argument else command.action
            who = command.identity or command.who
            sentence = sentences.ACTION if who else sentences.ACTION_OF_NOBODY
            return Level.E, sentence.say(language, action=action, who=who)
        case module.CommandRefused() as refused:
            return Level.E, sentences.ACTION_REFUSED.say(language, action=refused.action, reason=refused.reason)
        case module.SettingChanged() as setting:
            value = "on" if setting.value else "off"
            return Level.E, sentences.SETTING.say(language, setting=setting.setting, value=value, who=setting.who)
        case module.ConfigurationApplied() as applied:
            return Level.E, sentences.CONFIGURED.say(language, signature=applied.signature[:12])
        case module.ConfigurationRemoved():
            return Level.E, sentences.CONFIGURATION_REMOVED.say(language)
        case module.ModuleOpened() as opened:
            return Level.I, sentences.OPENED.say(language, incarnation=opened.incarnation)
        case module.RebootOrdered() as reboot:
            sentence = sentences.REBOOT_FAILED if reboot.problem else sentences.REBOOT
            return Level.C, sentence.say(language, command=reboot.command, reason=reboot.reason, problem=reboot.problem)
        case module.LoopCounted() as counted:
            return Level.I, sentences.LOOP_COUNTED.say(language, by=counted.by)
        case module.LoopReset() as reset:
            sentence = sentences.LOOP_RESET if reset.by else sentences.LOOP_RESET_BY_NOBODY
            return Level.I, sentence.say(language, by=reset.by)
    return None


def _words_of_doing(payload: object, language: Language) -> tuple[Level, str] | None:
    match payload:
        case module.ScriptFinished() as script:
            sentence = sentences.SCRIPT_ENDED_LATE if script.timed_out else sentences.SCRIPT_ENDED
            seconds = decimal(script.duration_ms / 1000, language, digits=3)
            ended = sentence.say(language, script=script.script, code=script.exit_code, seconds=seconds)
            kept = sentences.SCRIPT_LOG.say(language, log=script.log) if script.log else ""
            return Level.E if script.exit_code or script.log else Level.I, ended + kept
        case module.ResourceReported() as resource if not resource.told:
            return None
        case module.ResourceReported() as resource:
            return Level.E, sentences.RESOURCE.say(
                language, resource=resource.resource, value=resource.value, by=resource.by
            )
        case module.AddressesReported() as addresses if addresses.problem:
            return Level.E, sentences.ADDRESSES_PROBLEM.say(language, problem=addresses.problem)
        case module.AddressesReported() as addresses if addresses.conflicts:
            return Level.E, sentences.ADDRESSES_IN_CONFLICT.say(language, addresses=", ".join(addresses.conflicts))
        case module.AddressesReported() as addresses:
            sentence = sentences.ADDRESSES_HERE if addresses.present else sentences.ADDRESSES_NONE
            return Level.I, sentence.say(language, addresses=", ".join(addresses.present))
    return None


def _words_of_peer(payload: object, language: Language) -> tuple[Level, str] | None:
    match payload:
        case membership.PeerReported() as peer:
            said = peer.announcement
            return Level.I, sentences.PEER_STATE.say(language, role=said.role, status=said.status)
        case membership.PeerFound():
            return Level.E, sentences.PEER_HEARD.say(language)
        case membership.PeerSuspected() as suspected:
            return Level.D, sentences.PEER_SILENT.say(language, ms=f"{suspected.silent_ms:.0f}")
        case membership.PeerLost() as lost:
            sentence = sentences.PEER_LOST_WITH_EVIDENCE if lost.evidence else sentences.PEER_LOST
            ms = f"{lost.silent_ms:.0f}"
            return Level.E, sentence.say(language, reason=lost.reason, ms=ms, evidence=lost.evidence)
        case membership.HeartbeatLinkChanged() as link:
            value = "up" if link.up else "down"
            return Level.E, sentences.RESOURCE.say(
                language, resource=f"heartbeat.{link.ident}", value=value, by="heartbeat"
            )
    return None


def _words_of_data(payload: object, language: Language) -> tuple[Level, str] | None:
    match payload:
        case ReplicationReported() as report if report.failed:
            return Level.C, sentences.REPLICATION_FAILED.say(language, reason=report.failed)
        case ReplicationReported() as report if report.resyncing:
            return Level.D, sentences.RESYNC.say(language, **asdict(report.progress))
        case ReplicationReported() as report:
            sentence = sentences.REPLICATION_CONNECTED if report.connected else sentences.REPLICATION_NOT_CONNECTED
            return Level.D, sentence.say(language, mode=report.mode, sequence=report.sequence)
        case ReplicasVerified() as verified if verified.error:
            return Level.E, sentences.NOT_COMPARED.say(language, error=verified.error)
        case ReplicasVerified() as verified:
            sentence = sentences.EQUAL if verified.equal else sentences.DIFFERENT
            return Level.E if verified.equal else Level.C, sentence.say(
                language, places=verified.differences_total, files=verified.files, bytes=verified.bytes
            )
    return None
