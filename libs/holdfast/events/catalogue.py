"""The catalogue: stable wire name and version of every event and order. Import paths never reach bus or disk."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.events import membership, module, replication


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """name: stable, `noun.verb_past` for events, `verb.noun` for orders. recorded: an input of decisions, kept in the
    journal.
    """

    name: str
    payload: type
    version: int = 1
    recorded: bool = True


EVENTS: tuple[Entry, ...] = (
    Entry(name="peer.reported", payload=membership.PeerReported),
    Entry(name="peer.found", payload=membership.PeerFound),
    Entry(name="peer.suspected", payload=membership.PeerSuspected, recorded=False),
    Entry(name="peer.lost", payload=membership.PeerLost),
    Entry(name="heartbeat_link.changed", payload=membership.HeartbeatLinkChanged),
    Entry(name="replication.reported", payload=replication.ReplicationReported),
    Entry(name="replicas.verified", payload=replication.ReplicasVerified),
    Entry(name="command.requested", payload=module.CommandRequested),
    Entry(name="command.refused", payload=module.CommandRefused, recorded=False),
    Entry(name="setting.changed", payload=module.SettingChanged),
    Entry(name="configuration.applied", payload=module.ConfigurationApplied),
    Entry(name="configuration.removed", payload=module.ConfigurationRemoved),
    Entry(name="module.opened", payload=module.ModuleOpened),
    Entry(name="timer.fired", payload=module.TimerFired),
    Entry(name="service.started", payload=module.ServiceStarted),
    Entry(name="script.finished", payload=module.ScriptFinished),
    Entry(name="addresses.reported", payload=module.AddressesReported),
    Entry(name="resource.reported", payload=module.ResourceReported),
    Entry(name="state.changed", payload=module.StateChanged, recorded=False),
    Entry(name="span.ended", payload=module.SpanEnded, recorded=False),
)

ORDERS: tuple[Entry, ...] = (
    Entry(name="announce.state", payload=module.AnnounceState, recorded=False),
    Entry(name="hold.addresses", payload=module.HoldAddresses, recorded=False),
    Entry(name="replicate.directories", payload=replication.ReplicateDirectories, recorded=False),
    Entry(name="verify.replicas", payload=replication.VerifyReplicas, recorded=False),
    Entry(name="run.script", payload=module.RunScript, recorded=False),
    Entry(name="forget.scripts", payload=module.ForgetScripts, recorded=False),
    Entry(name="watch.resources", payload=module.WatchResources, recorded=False),
    Entry(name="report.facts", payload=module.ReportFacts, recorded=False),
)

BY_NAME: dict[str, Entry] = {entry.name: entry for entry in EVENTS + ORDERS}
BY_PAYLOAD: dict[type, Entry] = {entry.payload: entry for entry in EVENTS + ORDERS}

assert len(BY_NAME) == len(EVENTS) + len(ORDERS), "wire names are unique"
assert len(BY_PAYLOAD) == len(BY_NAME), "one wire name per payload class"
