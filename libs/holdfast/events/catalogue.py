"""The catalogue: stable wire name and version of every event and order. Import paths never reach bus or disk."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.events import membership, module, replication

PEOPLE = "people"
"""Shown by the gateway and kept by whoever listens; no service acts on it."""
EVERY_SERVICE = "every service"
MACHINE = ("statemachine",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """name: stable, `noun.verb_past` for events, `verb.noun` for orders. recorded: an input of decisions, kept in the
    journal. version grows with every change of the payload's fields; `holdfast.events.upcast` then says how the
    version before becomes this one.

    heard_by: for an event the kinds of service that act on it, PEOPLE when it is only shown. obeyed_by: for an order
    the kinds of service that carry it out, EVERY_SERVICE when the harness does. A contract test holds both to the code.
    """

    name: str
    payload: type
    version: int = 1
    recorded: bool = True
    heard_by: tuple[str, ...] = ()
    obeyed_by: tuple[str, ...] = ()


EVENTS: tuple[Entry, ...] = (
    Entry(name="peer.reported", payload=membership.PeerReported, version=2, heard_by=MACHINE),
    Entry(name="peer.found", payload=membership.PeerFound, heard_by=MACHINE),
    Entry(name="peer.suspected", payload=membership.PeerSuspected, recorded=False, heard_by=(PEOPLE,)),
    Entry(name="peer.lost", payload=membership.PeerLost, heard_by=MACHINE),
    Entry(name="heartbeat_link.changed", payload=membership.HeartbeatLinkChanged, heard_by=MACHINE),
    Entry(name="replication.reported", payload=replication.ReplicationReported, heard_by=MACHINE),
    Entry(name="replicas.verified", payload=replication.ReplicasVerified, heard_by=MACHINE),
    Entry(name="resync.estimated", payload=replication.ResyncEstimated, recorded=False, heard_by=MACHINE),
    Entry(name="command.requested", payload=module.CommandRequested, heard_by=MACHINE),
    Entry(name="command.refused", payload=module.CommandRefused, recorded=False, heard_by=(PEOPLE,)),
    Entry(name="setting.changed", payload=module.SettingChanged, heard_by=MACHINE),
    Entry(name="loop.counted", payload=module.LoopCounted, version=2, heard_by=MACHINE),
    Entry(name="loop.reset", payload=module.LoopReset, heard_by=MACHINE),
    Entry(name="reboot.ordered", payload=module.RebootOrdered, heard_by=(PEOPLE,)),
    Entry(name="configuration.applied", payload=module.ConfigurationApplied, heard_by=MACHINE),
    Entry(name="configuration.removed", payload=module.ConfigurationRemoved, heard_by=(PEOPLE,)),
    Entry(name="module.opened", payload=module.ModuleOpened, heard_by=MACHINE),
    Entry(name="timer.fired", payload=module.TimerFired, heard_by=MACHINE),
    Entry(name="service.started", payload=module.ServiceStarted, heard_by=MACHINE),
    Entry(name="script.finished", payload=module.ScriptFinished, heard_by=MACHINE),
    Entry(name="addresses.reported", payload=module.AddressesReported, heard_by=MACHINE),
    Entry(name="resource.reported", payload=module.ResourceReported, version=2, heard_by=MACHINE),
    Entry(name="witness.reported", payload=module.WitnessReported, heard_by=MACHINE),
    Entry(name="state.changed", payload=module.StateChanged, recorded=False, heard_by=(PEOPLE,)),
    Entry(name="span.ended", payload=module.SpanEnded, recorded=False, heard_by=MACHINE),
)

CHECKERS = (
    "checker-process",
    "checker-tcp",
    "checker-ping",
    "checker-intf",
    "checker-ip",
    "checker-custom",
    "checker-module",
    "checker-splitbrain",
)

ORDERS: tuple[Entry, ...] = (
    Entry(name="announce.state", payload=module.AnnounceState, version=2, recorded=False, obeyed_by=("heartbeat",)),
    Entry(name="hold.addresses", payload=module.HoldAddresses, recorded=False, obeyed_by=("vip",)),
    Entry(name="replicate.directories", payload=replication.ReplicateDirectories, recorded=False, obeyed_by=("rfs",)),
    Entry(name="verify.replicas", payload=replication.VerifyReplicas, recorded=False, obeyed_by=("rfs",)),
    Entry(name="estimate.resync", payload=replication.EstimateResync, recorded=False, obeyed_by=("rfs",)),
    Entry(name="run.script", payload=module.RunScript, version=2, recorded=False, obeyed_by=("scripts",)),
    Entry(name="forget.scripts", payload=module.ForgetScripts, recorded=False, obeyed_by=("scripts",)),
    Entry(
        name="watch.resources",
        payload=module.WatchResources,
        version=3,
        recorded=False,
        obeyed_by=CHECKERS,
    ),
    Entry(name="report.facts", payload=module.ReportFacts, recorded=False, obeyed_by=(EVERY_SERVICE,)),
)

BY_NAME: dict[str, Entry] = {entry.name: entry for entry in EVENTS + ORDERS}
BY_PAYLOAD: dict[type, Entry] = {entry.payload: entry for entry in EVENTS + ORDERS}

assert len(BY_NAME) == len(EVENTS) + len(ORDERS), "wire names are unique"
assert len(BY_PAYLOAD) == len(BY_NAME), "one wire name per payload class"
