"""Pure: which facts are worth a mail, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from holdfast.events.envelope import Envelope
from holdfast.events.membership import PeerFound, PeerLost
from holdfast.events.module import AddressesReported, ResourceReported, ScriptFinished, StateChanged
from holdfast.events.replication import ReplicasVerified, ReplicationReported
from holdfast.events.state import Role, Status
from holdfast.support.wording import STOPPED_BY_MAXLOOP, Level, Line, line_of

TEXT_CHARS_MAX = 1000


class Kind(StrEnum):
    """What a mail may be about; the words of the setting `events`."""

    CRITICAL = "critical"
    """Every line of level C in the module's log."""
    STATE = "state"
    """This node's state of a module, when it has come to rest."""
    FAILOVER = "failover"
    """This node takes over, and why."""
    PEER = "peer"
    """The other node is lost, or heard again."""
    REPLICATION = "replication"
    """Replication cannot go on by itself, or the copies differ."""
    LOOP = "loop"
    """Loop protection has stopped a module."""
    ADDRESS = "address"
    """A virtual address is in conflict or cannot be set."""
    SCRIPT = "script"
    """A script has failed."""
    RESOURCE = "resource"
    """A checker's resource changed."""


DEFAULT_KINDS = (Kind.CRITICAL, Kind.STATE, Kind.FAILOVER, Kind.REPLICATION, Kind.LOOP)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing worth a mail. text: as in the module's log, for a failover with its reason."""

    kind: Kind
    module: str
    wall_ns: int
    text: str


class Watcher:
    """Folds facts into events. What services only repeat makes no second event."""

    def __init__(self) -> None:
        self._lost: dict[str, str] = {}
        """Module to how its other node was lost, while it is."""
        self._told: dict[tuple[str, str], str] = {}
        """Module and subject to what was said of it last."""

    def take(self, envelope: Envelope[object]) -> Event | None:
        """Return the event that a fact is, None for one that is worth no mail."""
        line = line_of(envelope)
        if line is None:
            return None
        kind = self._kind(envelope, line)
        if kind is None:
            return None
        text = str(line)
        payload = envelope.payload
        if kind is Kind.FAILOVER and self._lost.get(envelope.module):
            text += f"; {self._lost[envelope.module]}"
        if isinstance(payload, PeerLost):
            self._lost[envelope.module] = line.text
        elif isinstance(payload, PeerFound):
            self._lost.pop(envelope.module, None)
        return Event(kind=kind, module=envelope.module, wall_ns=envelope.at_wall_ns, text=text[:TEXT_CHARS_MAX])

    def _kind(self, envelope: Envelope[object], line: Line) -> Kind | None:
        match envelope.payload:
            case StateChanged() as changed:
                return _kind_of_state(changed)
            case PeerLost() | PeerFound():
                return Kind.PEER
            case ReplicationReported() as report:
                return Kind.REPLICATION if self._is_news(envelope, "replication", report.failed) else None
            case ReplicasVerified() as verified:
                return None if verified.equal and not verified.error else Kind.REPLICATION
            case AddressesReported() as addresses:
                trouble = addresses.problem or ", ".join(addresses.conflicts)
                return Kind.ADDRESS if self._is_news(envelope, "addresses", trouble) else None
            case ScriptFinished() as script:
                return Kind.SCRIPT if script.exit_code or script.timed_out else None
            case ResourceReported() as resource:
                is_news = self._is_news(envelope, f"resource {resource.resource}", resource.value)
                return Kind.RESOURCE if is_news else None
            case _:
                return Kind.CRITICAL if line.level is Level.C else None

    def _is_news(self, envelope: Envelope[object], about: str, value: str) -> bool:
        """Is this value another one than was told last, and worth telling (not empty)?"""
        key = (envelope.module, about)
        before, self._told[key] = self._told.get(key, ""), value
        return bool(value) and value != before


def _kind_of_state(changed: StateChanged) -> Kind | None:
    if changed.reason.startswith(STOPPED_BY_MAXLOOP):
        return Kind.LOOP
    if (changed.previous_role, changed.role) == (Role.SECOND, Role.ALONE):
        return Kind.FAILOVER
    return None if changed.status == Status.TRANSIENT else Kind.STATE


def is_wanted(event: Event, kinds: frozenset[Kind]) -> bool:
    """Does an operator who asked for these kinds want this event?"""
    critical = event.kind in (Kind.REPLICATION, Kind.LOOP)
    return event.kind in kinds or (critical and Kind.CRITICAL in kinds)
