"""What a service gets to work with."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from holdfast.bus import subjects
from holdfast.bus.port import Bus
from holdfast.clock import Clock, HybridClock
from holdfast.errors import PeerError
from holdfast.events import codec
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import NODE_SCOPE, Envelope
from holdfast.events.module import ReportFacts, ServiceStarted, SpanEnded
from holdfast.ids import ModuleId
from holdfast.service.notify import Notifier
from holdfast.settings import NodeSettings
from holdfast.telemetry import Telemetry

Order = TypeVar("Order")
log = logging.getLogger("holdfast.service")


@dataclass(kw_only=True)
class Context:
    """One service's connections: bus, clocks, supervisor; `stopping` is set when it must end."""

    name: str
    settings: NodeSettings
    bus: Bus
    clock: Clock
    hybrid: HybridClock
    notifier: Notifier
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _ids: itertools.count[int] = field(default_factory=itertools.count)
    _reporters: list[Callable[[ModuleId], Awaitable[None]]] = field(default_factory=list)

    def envelope(self, module: ModuleId, payload: Order, *, cause: str = "", trace: str = "") -> Envelope[Order]:
        """Wrap a payload with who, where, when and why."""
        return Envelope(
            id=f"{self.settings.node}-{os.getpid()}-{self.clock.mono_ns():x}-{next(self._ids)}",
            module=module,
            node=self.settings.node,
            source=self.name,
            at_wall_ns=self.clock.wall_ns(),
            at_mono_ns=self.clock.mono_ns(),
            hybrid=self.hybrid.now(),
            cause=cause,
            trace=trace,
            payload=payload,
        )

    async def publish(self, module: ModuleId, fact: object, *, cause: str = "", trace: str = "") -> None:
        """Publish a fact about a module (or NODE_SCOPE)."""
        name = BY_PAYLOAD[type(fact)].name
        subject = subjects.event(self.settings.cluster, module, self.settings.node, name)
        await self.bus.publish(subject, codec.encode(self.envelope(module, fact, cause=cause, trace=trace)))

    async def on_order(self, order: type[Order], handler: Callable[[Envelope[Order]], Awaitable[None]]) -> None:
        """Call `handler` for every order of this class that is addressed to this service (any module)."""
        subject = subjects.order(self.settings.cluster, subjects.ANY, self.name, BY_PAYLOAD[order].name)

        async def receive(_subject: str, data: bytes) -> None:
            envelope = self._decoded(data)
            if envelope is not None and isinstance(envelope.payload, order):
                await handler(envelope)  # type: ignore[arg-type]

        await self.bus.subscribe(subject, receive)

    async def on_events(self, handler: Callable[[Envelope[object]], Awaitable[None]], name: str = subjects.ANY) -> None:
        """Call `handler` for every fact on this node's bus (of one wire name, or all)."""

        async def receive(_subject: str, data: bytes) -> None:
            envelope = self._decoded(data)
            if envelope is not None:
                await handler(envelope)

        await self.bus.subscribe(subjects.event(self.settings.cluster, subjects.ANY, subjects.ANY, name), receive)

    def on_report(self, reporter: Callable[[ModuleId], Awaitable[None]]) -> None:
        """Call `reporter` with a module (or NODE_SCOPE for all) whenever current facts are asked for."""
        self._reporters.append(reporter)

    async def announce(self) -> None:
        """Say that this service (re)started and is ready for orders; called by the harness after set-up and
        reconnection.
        """
        await self.publish(NODE_SCOPE, ServiceStarted(service=self.name, pid=os.getpid()))

    async def listen_for_reports(self) -> None:
        """Subscribe to `report.facts`, addressed to this service or to all; called by the harness."""

        async def receive(_subject: str, data: bytes) -> None:
            envelope = self._decoded(data)
            if envelope is not None:
                for reporter in self._reporters:
                    await reporter(envelope.module)

        name = BY_PAYLOAD[ReportFacts].name
        for service in (self.name, "all"):
            subject = subjects.order(self.settings.cluster, subjects.ANY, service, name)
            await self.bus.subscribe(subject, receive)

    @cached_property
    def telemetry(self) -> Telemetry:
        """This service's tracer, made when it is first used (in the running event loop)."""

        async def publish(span: SpanEnded) -> None:
            await self.publish(NODE_SCOPE, span)

        return Telemetry(service=self.name, node=self.settings.node, publish=publish)

    @contextmanager
    def span(self, name: str, *, trace: str = "", **attributes: str | int | float | bool) -> Iterator[str]:
        """Time a piece of work as a span of `trace` (an order's or event's); gives the traceparent to hand on."""
        with self.telemetry.span(name, trace=trace, attributes=attributes) as own:
            yield own

    def _decoded(self, data: bytes) -> Envelope[object] | None:
        try:
            envelope = codec.decode(data)
        except PeerError as error:
            log.warning("message on the bus refused: %s", error)
            return None
        self.hybrid.observe(envelope.hybrid)
        return envelope
