"""Heartbeats as a file writes them: by the name of a lan, or by addresses as before lans had names."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.config.model import FLOW_IDENT
from holdfast.config.problem import Report
from holdfast.config.reader import Section
from holdfast.config.tags.heart import HEARTBEAT_NAME
from holdfast.config.tags.server import SERVERS


def servers_of(section: Section) -> tuple[str, ...]:
    """The addresses that stand in a heartbeat, or in the flow of the replication."""
    return tuple(address for server in section.all("server") if (address := server.optional_text("addr")) is not None)


def ident_of(beat: Section) -> str | None:
    """The ident of a heartbeat: as written, else the lan's name, else the first address; None when all are missing."""
    return beat.optional_text("ident") or beat.optional_text("name") or next(iter(servers_of(beat)), None)


def flow_ident(service: Section) -> str:
    """The ident of the heartbeat whose network carries the replication, if there is such a heartbeat."""
    flow = service.first("rfs", "flow")
    if flow is None:
        return FLOW_IDENT
    wanted = set(servers_of(flow))
    found = (ident_of(beat) for beat in service.all("heart", "heartbeat") if set(servers_of(beat)) == wanted)
    return next(found, None) or FLOW_IDENT


def check_servers(service: Section, report: Report) -> None:
    """Each heartbeat has the name of a lan or two addresses, and one file has heartbeats of one kind."""
    beats = list(service.all("heart", "heartbeat"))
    for beat in beats:
        _check_place(beat, report)
    old = [beat for beat in beats if beat.first("server") is not None]
    if old and len(old) < len(beats):
        report.error(old[0].at, "heartbeats by addresses beside some by name", accepted="names of lans for all of them")
    elif old:
        report.warn(
            old[0].at,
            "addresses in the module's own file are the syntax before 7.2: the lan of cluster.xml with these addresses "
            "is used; write its name",
        )
    _check_flow(service, old, report)


def _check_place(beat: Section, report: Report) -> None:
    written = list(beat.all("server"))
    if beat.gives("name"):
        if written:
            report.error(written[0].at, "addresses beside the name of a lan", accepted="the name alone")
    elif not written:
        report.error(beat.at, "<heartbeat> lacks the attribute 'name'", accepted=HEARTBEAT_NAME)
    elif len(written) != SERVERS or len(set(servers_of(beat))) < len(servers_of(beat)):
        report.error(beat.at, "<heartbeat> needs the addresses of both nodes", accepted=f"{SERVERS} <server>, or name")


def _check_flow(service: Section, old: Sequence[Section], report: Report) -> None:
    flow = service.first("rfs", "flow")
    if flow is None:
        return
    wanted = set(servers_of(flow))
    if len(wanted) != SERVERS or all(set(servers_of(beat)) != wanted for beat in old):
        report.error(
            flow.at,
            "<flow> has not the addresses of a heartbeat",
            accepted=f'the two addresses of one, or no <flow> and ident="{FLOW_IDENT}" on the heartbeat',
        )
