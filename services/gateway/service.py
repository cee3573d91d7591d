"""The service: HTTP on one side, the bus on the other. It keeps nothing; killed and restarted, it answers the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.bus import subjects
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import NODE_SCOPE
from holdfast.events.module import ReportFacts, SpanEnded
from holdfast.history.spans import FILE_NAME as SPANS
from holdfast.service.context import Context
from holdfast.service.run import ready
from holdfast.support.command_log import FILE_NAME as COMMANDS

from services.gateway.app import create_app
from services.gateway.asking import StateMachine
from services.gateway.hub import Hub
from services.gateway.parts import Gateway
from services.gateway.recording import Recorder
from services.gateway.serving import make_server, open_sockets
from services.gateway.support.mailing import want_service
from services.gateway.support.system_log import SystemLog

if TYPE_CHECKING:
    from holdfast.history.export import SpanExporter

STOP_S_MAX = 1.5


async def serve(context: Context) -> None:
    """Set the service up and let it work until it is stopped."""
    sockets = open_sockets(context.settings.run_dir, context.settings.http_port)
    hub = Hub()
    exporter = _exporter(context)
    want_service(context.settings)
    recorder = Recorder(context.settings.state_dir / COMMANDS, context.clock)
    machine = StateMachine(context)
    gateway = Gateway(context=context, machine=machine, hub=hub, exporter=exporter, recorder=recorder)
    system_log = SystemLog(context.settings.syslog)
    hub.on_item(system_log.take)
    server = make_server(create_app(gateway))
    await context.on_events(hub.take)
    exporting = await _export(context, exporter)
    serving = asyncio.get_running_loop().create_task(server.serve(sockets=sockets))
    await ready(context)
    await _ask_for_facts(context)
    stopping = asyncio.get_running_loop().create_task(context.stopping.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await hub.close()
    server.should_exit = True
    await asyncio.wait({serving}, timeout=STOP_S_MAX)
    stopping.cancel()
    exporting.cancel()
    recorder.close()
    system_log.close()
    for each in sockets:
        each.close()
    if serving.done():
        serving.result()


def _exporter(context: Context) -> SpanExporter | None:
    """What hands this node's spans to a collector; None when none is configured."""
    endpoint = context.settings.otlp_endpoint
    if not endpoint:
        return None
    # Imported here because it brings an HTTP client and protobuf along, which few nodes need.
    from holdfast.history.export import SpanExporter

    settings = context.settings
    return SpanExporter(endpoint, state_dir=settings.state_dir, store=SPANS, headers=settings.otlp_headers)


async def _export(context: Context, exporter: SpanExporter | None) -> asyncio.Task[None]:
    """Export from now on; nothing waits for it, and a collector that is away is none of the gateway's troubles."""
    if exporter is None:
        return asyncio.get_running_loop().create_task(asyncio.sleep(0))
    await context.on_events(exporter.take, BY_PAYLOAD[SpanEnded].name)
    return asyncio.get_running_loop().create_task(exporter.run())


async def _ask_for_facts(context: Context) -> None:
    """Have every service say what is, for /metrics: a gateway that starts has heard nothing yet."""
    name = BY_PAYLOAD[ReportFacts].name
    subject = subjects.order(context.settings.cluster, NODE_SCOPE, "all", name)
    await context.bus.publish(subject, codec.encode(context.envelope(NODE_SCOPE, ReportFacts())))
